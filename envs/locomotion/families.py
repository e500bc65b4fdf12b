"""The task families by name: `family` is the default form, `family/paper` the form a paper used.

The differences between the forms (ranges, horizons, what is observed) change returns, so each is its own entry.
"""

import jax
import jax.numpy as jnp

from ...types import Array, Key, Task
from ..physics import PhysicsState
from .bodies import HALF_CHEETAH, Body
from .env import Family, Motion


def control_cost(weight: float, action: Array) -> Array:
    return weight * jnp.sum(action**2)


# --- HalfCheetah: direction and velocity (PEARL, arXiv:1903.08254; ProMP, arXiv:1810.06784; MAML, arXiv:1703.03400)


def sample_direction(key: Key) -> Array:
    """-1 or +1: backward or forward along x."""
    return jax.random.rademacher(key, (), float)


def cheetah_dir_reward(motion: Motion, direction: Task) -> Array:
    return direction * motion.velocity[0] - control_cost(0.05, motion.action)


def cheetah_vel_reward(motion: Motion, target: Task) -> Array:
    return -jnp.abs(motion.velocity[0] - target) - control_cost(0.05, motion.action)


def observe_with_torso(body: Body, state: PhysicsState) -> Array:
    """qpos[1:], qvel, then where the torso is: 20 numbers. Slide joints make it a function of qpos."""
    torso = jnp.stack([state.qpos[0], jnp.zeros_like(state.qpos[0]), state.qpos[1] + 0.7])
    return jnp.concatenate([body.observe(state), torso])


def uniform(low: float, high: float):
    return lambda key: jax.random.uniform(key, (), minval=low, maxval=high)


CHEETAH_DIR = Family(HALF_CHEETAH, sample_direction, cheetah_dir_reward, horizon=200)
CHEETAH_VEL = Family(HALF_CHEETAH, uniform(0.0, 3.0), cheetah_vel_reward, horizon=200)

FAMILIES = {
    "cheetah-dir": CHEETAH_DIR,
    "cheetah-dir/pearl": CHEETAH_DIR._replace(observe=observe_with_torso),
    "cheetah-vel": CHEETAH_VEL,
}
