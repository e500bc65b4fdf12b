"""The numbers that tasks of several families are made of, under the names that people give them (see `types.Parameter`)."""

import math

import jax.numpy as jnp

from ..types import Array, Parameter


def number(low: float, high: float, unit: str = "") -> Parameter:
    """The task itself, `[]`."""
    return Parameter((low, high), lambda task: task, lambda task, value: value, unit)


def entry(index: int, low: float, high: float, unit: str = "") -> Parameter:
    """One number of a task that is a vector."""
    return Parameter((low, high), lambda task: task[index], lambda task, value: task.at[index].set(value), unit)


def radius(low: float, high: float, unit: str = "") -> Parameter:
    """How far from 0 a goal `[2]` is; its direction stays."""
    return Parameter(
        (low, high), jnp.linalg.norm, lambda goal, value: on_circle(value, direction(goal)), unit, (0.0, math.inf)
    )


def angle(low: float, high: float) -> Parameter:
    """In which direction a goal `[2]` is; its distance from 0 stays."""
    return Parameter(
        (low, high),
        direction,
        lambda goal, value: on_circle(jnp.linalg.norm(goal), value),
        "rad",
        (-math.pi, math.pi),
    )


def square(half_side: float, unit: str = "") -> dict[str, Parameter]:
    """Of goals `[2]` from a square around 0. Only up to half its side are goals of all directions inside."""
    side = (-half_side, half_side, unit)
    return {"x": entry(0, *side), "y": entry(1, *side), "radius": radius(0.0, half_side, unit)}


def direction(goal: Array) -> Array:
    """Of a goal `[2]`, `[]` in [-pi, pi], rad."""
    return jnp.arctan2(goal[1], goal[0])


def on_circle(radius: Array, angle: Array) -> Array:
    """A point of the plane, `[2]`."""
    return radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
