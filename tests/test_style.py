"""Colours and numbers of figures."""

import itertools

import numpy as np
import pytest
from matplotlib import colormaps, colors

from metarl_jax.show import style

# What linear RGB becomes to those without red, and without green cones (Vienot, Brettel and Mollon 1999).
SEEN = {
    "all cones": np.eye(3),
    "no red cones": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "no green cones": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


def lab(colour, seen):
    """CIE 1976 L*a*b* of an sRGB colour (D65), as seen."""
    srgb = np.array(colors.to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(seen) @ linear, 0.0, 1.0)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def least_distance(colours, seen):
    labs = [lab(colour, seen) for colour in colours]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(labs, 2))


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_colours_are_told_apart(seen):
    """By everyone, at several times the difference that is just noticed (2.3); matplotlib's own are not."""
    assert least_distance(style.COLOURS, seen) > 15.0
    assert least_distance([style.BEFORE, style.AFTER], seen) > 15.0


def test_the_measure_sees_colours_that_are_not():
    assert least_distance(colormaps["tab10"].colors, SEEN["no green cones"]) < 8.0


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.25, "0.25"), (999, "999"), (1500, "1.5k"), (-2000, "-2k"), (2e6, "2M"), (3e9, "3G")],
)
def test_thousands(value, words):
    assert style.si(value) == words
