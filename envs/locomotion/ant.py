"""Ant: run in a direction, at a speed, or to a goal.

PEARL (arXiv:1903.08254), ProMP (arXiv:1810.06784), MAML (arXiv:1703.03400), VariBAD (arXiv:1910.08348).
Velocities and positions are those of the torso's joint coordinates after the step. The default forms leave contact
forces out of reward and observation: they run on every backend, and on the fast path of the `mujoco` one.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ...types import Array, Key, Task
from ..parameters import angle, radius, square
from ..physics import PhysicsState
from .bodies import ANT, Body
from .env import Family, Motion
from .terms import (
    ANGLE,
    contact_cost,
    contact_forces,
    control_cost,
    height_outside,
    sample_angle,
    sample_direction,
    speeds,
    uniform,
    unit_vector,
)


def direction_reward(motion: Motion, angle: Task) -> Array:
    """Velocity along the direction (m/s), 1 for being alive, control cost (PEARL)."""
    return motion.velocity @ unit_vector(angle) + 1.0 - control_cost(0.5, motion.action)


def direction_reward_contact(motion: Motion, angle: Task) -> Array:
    """`direction_reward` less the cost of contact forces (PEARL)."""
    return direction_reward(motion, angle) - contact_cost(motion.after)


def velocity_reward(motion: Motion, target: Task) -> Array:
    """MAML's: 1 "to make it happy, not suicidal", and 0.05 for being alive."""
    return 1.0 - jnp.abs(motion.velocity[0] - target) + 0.05 - control_cost(0.005, motion.action)


def sample_disk(key: Key) -> Array:
    """A goal `[2]`, m, uniform in the disk of radius 3."""
    key_angle, key_radius = jax.random.split(key)
    return 3.0 * jnp.sqrt(jax.random.uniform(key_radius)) * unit_vector(sample_angle(key_angle))


def goal_distance(motion: Motion, goal: Task) -> Array:
    """L1, m."""
    return jnp.sum(jnp.abs(motion.after.qpos[:2] - goal))


def goal_reward(motion: Motion, goal: Task) -> Array:
    """Minus the L1 distance to the goal (m), control cost (PEARL)."""
    return -goal_distance(motion, goal) - control_cost(0.1, motion.action)


def goal_reward_contact(motion: Motion, goal: Task) -> Array:
    """`goal_reward` less the cost of contact forces (PEARL)."""
    return goal_reward(motion, goal) - contact_cost(motion.after)


def goal_reward_maml(motion: Motion, goal: Task) -> Array:
    """4 and 0.05 for being alive, minus the L1 distance to the goal (m), costs of control and contact (MAML)."""
    cost = control_cost(0.005, motion.action) + contact_cost(motion.after)
    return 4.0 - goal_distance(motion, goal) + 0.05 - cost


def observe_contacts(body: Body, state: PhysicsState) -> Array:
    """qpos[2:], qvel, contact forces: 111 numbers."""
    return jnp.concatenate([body.observe(state), contact_forces(state)])


def observe_position(body: Body, state: PhysicsState) -> Array:
    """All of qpos, and qvel: 29 numbers."""
    return jnp.concatenate([state.qpos, state.qvel])


def observe_position_contacts(body: Body, state: PhysicsState) -> Array:
    """All of qpos, qvel, contact forces: 113 numbers."""
    return jnp.concatenate([state.qpos, state.qvel, contact_forces(state)])


ANT_DIR = Family(
    ANT,
    sample_angle,
    direction_reward,
    horizon=200,
    terminated=height_outside(0.2, 1.0),
    parameters={"angle": ANGLE},
)
ANT_DIR_CONTACT = ANT_DIR._replace(reward=direction_reward_contact, fields=("cfrc_ext",))
ANT_GOAL = Family(
    ANT,
    sample_disk,
    goal_reward,
    horizon=200,
    observe=observe_position,
    parameters={"angle": angle(-np.pi, np.pi), "radius": radius(0.0, 3.0, "m")},
)
ANT_GOAL_CONTACT = ANT_GOAL._replace(
    reward=goal_reward_contact, observe=observe_position_contacts, fields=("cfrc_ext",)
)

FAMILIES = {
    "ant-dir": ANT_DIR,
    "ant-dir/pearl": ANT_DIR_CONTACT,
    # ProMP's directions are normalised Gaussian vectors of the plane, so their angle is uniform.
    "ant-dir/promp": ANT_DIR_CONTACT._replace(observe=observe_contacts, terminated=height_outside(0.0, 1.0)),
    # VariBAD meant backward and forward, but its -1 and +1 are read as radians: cos(-1) = cos(1), both go forward.
    "ant-dir/varibad": ANT_DIR_CONTACT._replace(sample_task=sample_direction, parameters={}),
    "ant-vel": ANT_DIR._replace(reward=velocity_reward, **speeds(0.0, 3.0)),
    "ant-goal": ANT_GOAL,
    "ant-goal/pearl": ANT_GOAL_CONTACT._replace(num_tasks=(150, 30)),
    # MAML observes the torso's rotation matrix and mass centre too; both follow from qpos and are left out.
    "ant-goal/maml": ANT_GOAL_CONTACT._replace(
        sample_task=uniform(-3.0, 3.0, (2,)),
        reward=goal_reward_maml,
        terminated=height_outside(0.2, 1.0),
        parameters=square(3.0, "m"),
    ),
}
