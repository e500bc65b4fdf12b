"""Gymnasium's v5 tasks, as the installed package defines them. There is a single task, 0, which nothing reads."""

import jax.numpy as jnp

from ...types import Array, Task
from ..physics import PhysicsState
from ..task_sets import single_task
from .bodies import ANT, HALF_CHEETAH, HOPPER, WALKER, Body
from .env import Family, Motion
from .terms import contact_cost, contact_forces, control_cost, height_outside, hopper_fallen, walker_fallen


def half_cheetah_reward(motion: Motion, task: Task) -> Array:
    """Forward speed (m/s), control cost."""
    return motion.velocity[0] - control_cost(0.1, motion.action)


def hopper_reward(motion: Motion, task: Task) -> Array:
    """Forward speed, 1 unless it has fallen, control cost."""
    return motion.velocity[0] + ~hopper_fallen(motion.after) - control_cost(1e-3, motion.action)


def walker_reward(motion: Motion, task: Task) -> Array:
    """Forward speed, 1 unless it has fallen, control cost."""
    return motion.velocity[0] + ~walker_fallen(motion.after) - control_cost(1e-3, motion.action)


ant_fallen = height_outside(0.2, 1.0)


def ant_reward(motion: Motion, task: Task) -> Array:
    """Forward speed, 1 unless it has fallen, control cost.

    Gymnasium reads the torso's position from `data.xpos` as `mj_step` left it: not quite where qpos says it is.
    """
    torso_before, torso_after = (state.fields["xpos"][1, 0] for state in (motion.before, motion.after))
    velocity = (torso_after - torso_before) / motion.dt
    return velocity + ~ant_fallen(motion.after) - control_cost(0.5, motion.action)


def ant_reward_contact(motion: Motion, task: Task) -> Array:
    """`ant_reward` less the cost of contact forces."""
    return ant_reward(motion, task) - contact_cost(motion.after)


def observe_contacts(body: Body, state: PhysicsState) -> Array:
    """qpos[2:], qvel, contact forces on all bodies but the world: 105 numbers."""
    return jnp.concatenate([body.observe(state), contact_forces(state)[6:]])


ANT_V5 = Family(ANT, single_task, ant_reward, horizon=1000, terminated=ant_fallen, fields=("xpos",))

FAMILIES = {
    "halfcheetah-v5": Family(HALF_CHEETAH, single_task, half_cheetah_reward, horizon=1000),
    "hopper-v5": Family(HOPPER, single_task, hopper_reward, horizon=1000, terminated=hopper_fallen),
    "walker2d-v5": Family(WALKER, single_task, walker_reward, horizon=1000, terminated=walker_fallen),
    "ant-v5": ANT_V5,
    "ant-v5/contact": ANT_V5._replace(reward=ant_reward_contact, observe=observe_contacts, fields=("xpos", "cfrc_ext")),
}
