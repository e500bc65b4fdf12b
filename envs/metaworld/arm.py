"""The Sawyer arm of Meta-World: how an action moves it, what is observed of it."""

import jax.numpy as jnp

from ...types import Array
from .scenes import Readings

_ACTION_SCALE = 0.01  # m per unit of action
_HAND_LOW = (-0.525, 0.348, -0.0525)  # bounds of the observed hand position, m; the package's `_HAND_SPACE`
_HAND_HIGH = (0.525, 1.025, 0.7)
_WIDEST_GRIP = 0.1  # m
_HALF = 18  # numbers of one observation without the goal


def move_hand(position: Array, action: Array, low: tuple, high: tuple) -> Array:
    """Where an action sends the mocap hand, `[3]`, m."""
    return jnp.clip(position + _ACTION_SCALE * jnp.clip(action[:3], -1.0, 1.0), jnp.array(low), jnp.array(high))


def gripper_control(action: Array) -> Array:
    """Targets of the right and the left finger, `[2]`."""
    return jnp.stack([action[3], -action[3]])


def observe(readings: Readings, objects: Array) -> Array:
    """`[18]`: hand, gripper opening, then the objects' positions and quaternions padded with zeros."""
    apart = jnp.linalg.norm(readings["right_claw"] - readings["left_claw"])
    opening = jnp.clip(apart / _WIDEST_GRIP, 0.0, 1.0)
    padding = jnp.zeros(_HALF - 4 - objects.size)
    return jnp.concatenate([readings["hand"], opening[None], objects, padding])


def observation_bounds(goal_low: tuple, goal_high: tuple) -> tuple[Array, Array]:
    """Lower and upper bounds of an observation, `[39]` each."""
    unbounded = (jnp.inf,) * (_HALF - 4)
    low = (*_HAND_LOW, -1.0, *(-x for x in unbounded))
    high = (*_HAND_HIGH, 1.0, *unbounded)
    return jnp.array((*low, *low, *goal_low)), jnp.array((*high, *high, *goal_high))
