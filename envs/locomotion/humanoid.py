"""Humanoid: walk in a direction of the plane (PEARL, arXiv:1903.08254)."""

import jax.numpy as jnp
import mujoco

from ...types import Array, Task
from ..physics import PhysicsState
from .bodies import HUMANOID, Body
from .env import Family, Motion
from .terms import ANGLE, control_cost, height_outside, sample_angle, unit_vector

FIELDS = ("cinert", "cvel", "qfrc_actuator", "cfrc_ext")


def edit_model(spec: mujoco.MjSpec) -> None:
    """A sensor for the mass centre of the body; and Newton's method, since MJX has not the model's PGS solver."""
    spec.add_sensor(
        type=mujoco.mjtSensor.mjSENS_SUBTREECOM, objtype=mujoco.mjtObj.mjOBJ_BODY, objname="torso", name="mass_center"
    )
    spec.option.solver = mujoco.mjtSolver.mjSOL_NEWTON


def reward(motion: Motion, angle: Task) -> Array:
    """Mass centre's velocity along the direction, 5 for being alive, control cost.

    PEARL writes 0.25 times a displacement over five substeps divided by the time of one: 1.25 times the velocity, which
    is Gymnasium's weight too.
    """
    velocity = (motion.after.sensordata[:2] - motion.before.sensordata[:2]) / motion.dt
    return 1.25 * velocity @ unit_vector(angle) + 5.0 - control_cost(0.1, motion.action)


def reward_impact(motion: Motion, angle: Task) -> Array:
    """`reward` less the cost of contact forces (not clipped one by one, at most 10 together)."""
    return reward(motion, angle) - jnp.minimum(5e-7 * jnp.sum(motion.after.fields["cfrc_ext"] ** 2), 10.0)


def observe_all(body: Body, state: PhysicsState) -> Array:
    """qpos[2:], qvel, inertias, velocities, actuator and contact forces, of the world body too: 376 numbers."""
    return jnp.concatenate([body.observe(state), *(state.fields[name].ravel() for name in FIELDS)])


HUMANOID_DIR = Family(
    HUMANOID,
    sample_angle,
    reward,
    horizon=200,
    terminated=height_outside(1.0, 2.0),
    edit_model=edit_model,
    parameters={"angle": ANGLE},
)

FAMILIES = {
    "humanoid-dir": HUMANOID_DIR,
    "humanoid-dir/pearl": HUMANOID_DIR._replace(
        reward=reward_impact, observe=observe_all, fields=FIELDS, num_tasks=(100, 30)
    ),
}
