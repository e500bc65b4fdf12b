"""Small pieces that several task families share: what a task is, what a reward is made of."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...types import Array, Key
from ..parameters import number
from ..physics import PhysicsState
from ..task_sets import OneOf


def uniform(low: float, high: float, shape: tuple[int, ...] = ()) -> Callable[[Key], Array]:
    """Tasks `shape`, uniform in [low, high)."""
    return lambda key: jax.random.uniform(key, shape, minval=low, maxval=high)


sample_direction = OneOf(np.array([-1.0, 1.0]))  # backward or forward along x


sample_angle = uniform(0.0, 2 * jnp.pi)  # rad
ANGLE = number(0.0, 2 * np.pi, "rad")._replace(limits=(0.0, 2 * np.pi))


def speeds(low: float, high: float) -> dict[str, Any]:
    """Of a `Family`: tasks that are a speed, uniform in [low, high) m/s."""
    return {"sample_task": uniform(low, high), "parameters": {"speed": number(low, high, "m/s")}}


def unit_vector(angle: Array) -> Array:
    """[2], of length 1."""
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def control_cost(weight: float, action: Array) -> Array:
    """weight |action|^2, `[]`."""
    return weight * jnp.sum(action**2)


def contact_forces(state: PhysicsState) -> Array:
    """[nbody * 6]: external forces and torques on every body (the world first), clipped to +-1."""
    return jnp.clip(state.fields["cfrc_ext"], -1.0, 1.0).ravel()


def contact_cost(state: PhysicsState) -> Array:
    """5e-4 |f|^2 of clipped contact forces, `[]`."""
    return 5e-4 * jnp.sum(contact_forces(state) ** 2)


def height_outside(low: float, high: float) -> Callable[[PhysicsState], Array]:
    """Terminates where the root of a free body leaves [low, high] m, or where the state is not finite."""

    def terminated(state: PhysicsState) -> Array:
        finite = jnp.isfinite(state.qpos).all() & jnp.isfinite(state.qvel).all()
        return ~(finite & (state.qpos[2] >= low) & (state.qpos[2] <= high))

    return terminated


def hopper_fallen(state: PhysicsState) -> Array:
    """Gymnasium's limits: height > 0.7 m, pitch within +-0.2 rad, and all but x and height within +-100."""
    bounded = (jnp.abs(jnp.concatenate([state.qpos[2:], state.qvel])) < 100.0).all()
    return ~(bounded & (state.qpos[1] > 0.7) & (jnp.abs(state.qpos[2]) < 0.2))


def walker_fallen(state: PhysicsState) -> Array:
    """Gymnasium's limits: height within (0.8, 2) m and pitch within +-1 rad."""
    return ~((state.qpos[1] > 0.8) & (state.qpos[1] < 2.0) & (jnp.abs(state.qpos[2]) < 1.0))
