"""Running statistics against NumPy."""

import itertools

import jax
import numpy as np
import pytest

from metarl_jax.learning import normalize

RNG = np.random.default_rng(0)
# Parts of unequal size, place and scale; the second has two leading axes.
PARTS = [
    (RNG.normal(size=shape) * scale + shift).astype(np.float32)
    for shape, scale, shift in [
        ((50, 3), 1.0, 0.0),
        ((4, 5, 3), 10.0, 100.0),
        ((1, 3), 1.0, -3.0),
        ((200, 3), 0.1, 2.0),
    ]
]
ALL = np.concatenate([part.reshape(-1, 3) for part in PARTS]).astype(np.float64)


def check(stats):
    assert stats.count == len(ALL)
    np.testing.assert_allclose(stats.mean, ALL.mean(axis=0), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(stats.sum_square / stats.count, ALL.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_merge_one_after_the_other(order):
    stats = normalize.init(3)
    for index in order:
        stats = normalize.merge(stats, normalize.of_batch(PARTS[index]))
    check(stats)


def test_merge_as_a_tree():
    a, b, c, d = (normalize.of_batch(part) for part in PARTS)
    check(normalize.merge(normalize.merge(a, b), normalize.merge(c, d)))
    check(normalize.merge(normalize.merge(d, normalize.merge(c, b)), a))


def test_merge_with_nothing():
    stats, nothing = normalize.of_batch(PARTS[0]), normalize.init(3)
    for merged in (normalize.merge(stats, nothing), normalize.merge(nothing, stats)):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), merged, stats)
    jax.tree.map(np.testing.assert_array_equal, normalize.merge(nothing, nothing), nothing)


def test_apply():
    stats = normalize.of_batch(ALL.astype(np.float32))
    x = RNG.normal(size=(2, 6, 3)).astype(np.float32) * 5.0
    expected = (x - ALL.mean(axis=0)) / ALL.std(axis=0)
    np.testing.assert_allclose(normalize.apply(stats, x), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(normalize.apply(stats, np.array([1e6, -1e6, 1e6])), [10.0, -10.0, 10.0])


def test_apply_before_anything_was_seen():
    x = np.array([[1.0, -2000.0, 0.5]], np.float32)
    np.testing.assert_array_equal(normalize.apply(normalize.init(3), x), x)


def test_a_constant_entry_stays_finite():
    stats = normalize.of_batch(np.full((10, 3), 7.0, np.float32))
    np.testing.assert_allclose(normalize.apply(stats, np.full(3, 7.0, np.float32)), 0.0, atol=1e-3)
