"""Terms that Meta-World's rewards share, as the installed `metaworld` package (MIT, Farama Foundation) defines them.

Its second reward design ("v2", rewards from 0 to 10), arXiv:2505.11289; `tolerance` comes from dm_control (Apache-2.0).
Written anew for JAX: values equal the package's, errors on impossible arguments do not exist.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp

from ...types import Array
from .family import Moment

_TINY = 1e-20  # stands for a margin of 0: the term falls to 0 at once

# How a term falls with the distance from its bounds in margins: to 0.1 at a distance of 1.
_SIGMOIDS: dict[str, Callable[[Array], Array]] = {
    "gaussian": lambda x: jnp.exp(math.log(0.1) * x**2),
    "long_tail": lambda x: 1.0 / (9.0 * x**2 + 1.0),
    "hyperbolic": lambda x: 1.0 / jnp.cosh(math.acosh(10.0) * x),
    "reciprocal": lambda x: 1.0 / (9.0 * jnp.abs(x) + 1.0),
    "tanh_squared": lambda x: 1.0 - jnp.tanh(math.atanh(math.sqrt(0.9)) * x) ** 2,
}


def distance(a: Array, b: Array) -> Array:
    """L2, `[d]`, `[d]` -> `[]`."""
    return jnp.linalg.norm(a - b)


def tolerance(x: Array, bounds: tuple[float, float], margin: Array | float, sigmoid: str = "long_tail") -> Array:
    """1 within `bounds`, falling to 0.1 at `margin` beyond them and on towards 0; `[]` -> `[]`."""
    lower, upper = bounds
    beyond = jnp.maximum(lower - x, x - upper)
    return jnp.where(beyond <= 0, 1.0, _SIGMOIDS[sigmoid](beyond / jnp.maximum(margin, _TINY)))


def nearing(away: Array, first: Array | float, radius: float, sigmoid: str = "long_tail") -> Array:
    """1 within `radius` of something, 0.1 as far away as at `first`; lengths in m, `[]` each."""
    return tolerance(away, (0.0, radius), jnp.abs(first - radius), sigmoid)


def hamacher_product(a: Array, b: Array) -> Array:
    """A soft "and" of two numbers from 0 to 1: ab / (a + b - ab)."""
    both = a * b
    total = a + b - both
    return jnp.where(total > 0, both / jnp.where(total > 0, total, 1.0), 0.0)


def funnel(radius: Array, throat: Array | float, slope: float, height: float) -> Array:
    """The height, m, of a funnel's surface at a distance from its axis; 0 within its throat. `[]` or `[n]`."""
    outside = radius > throat
    return jnp.where(outside, slope * jnp.log(jnp.where(outside, radius - throat, 1.0)) + height, 0.0)


class Grip(NamedTuple):
    """How a gripper should close around an object; the names are the package's, lengths in m."""

    obj_radius: float
    pad_success_thresh: float
    xz_thresh: float
    object_reach_radius: float = 0.01  # matters for "medium" alone
    desired_gripper_effort: float = 1.0
    density: Literal["low", "medium", "high"] = "low"


def beside_in_xz(moment: Moment, obj: Array, thresh: float) -> Array:
    """How near the finger tips are to an object at `obj` `[3]` in x and z, where y does not count."""
    first, first_tcp = moment.memory["obj"], moment.settled.readings["tcp"]
    margin = distance(first[::2], first_tcp[::2]) - thresh  # [::2]: in x and z
    return tolerance(distance(moment.readings["tcp"][::2], obj[::2]), (0.0, thresh), margin)


def gripper_caging(moment: Moment, obj: Array, grip: Grip) -> Array:
    """How well the gripper surrounds and grips an object at `obj` `[3]`; the package's `_gripper_caging_reward`.

    Reads the object's first position from `moment.memory["obj"]`.
    """
    first, first_tcp, tcp = moment.memory["obj"], moment.settled.readings["tcp"], moment.readings["tcp"]
    pads_y = jnp.stack([moment.readings["left_pad"][1], moment.readings["right_pad"][1]])
    margins = jnp.abs(jnp.abs(pads_y - first[1]) - grip.pad_success_thresh)
    beside = tolerance(jnp.abs(pads_y - obj[1]), (grip.obj_radius, grip.pad_success_thresh), margins)
    caging_y = hamacher_product(beside[0], beside[1])

    caging = hamacher_product(caging_y, beside_in_xz(moment, obj, grip.xz_thresh))
    closed = jnp.clip(moment.action[-1], 0.0, grip.desired_gripper_effort) / grip.desired_gripper_effort
    gripped = hamacher_product(caging, jnp.where(caging > 0.97, closed, 0.0))
    if grip.density == "high":
        return (gripped + caging) / 2
    if grip.density == "medium":
        margin = jnp.abs(distance(first, first_tcp) - grip.object_reach_radius)
        reach = tolerance(distance(obj, tcp), (0.0, grip.object_reach_radius), margin)
        return (gripped + reach) / 2
    return gripped
