"""One interface to MuJoCo, three ways to run it.

An environment builds one `Physics` from an `MjModel` and calls `reset` and `step`, unbatched; the caller vmaps. What a
reward needs beyond positions and velocities comes in one of two ways:

- `sensordata`: quantities declared as sensors on the model. They describe the state *after* integration (a plain
  `mj_step` leaves them one substep old), which costs one forward pass per step. A model without sensors pays nothing.
- `fields`: arrays of `mjData` exactly as the last substep left them, for environments that must match definitions which
  read `data.xpos` or `data.cfrc_ext` after `mj_step` without a forward pass.
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import mujoco

Array = jax.Array
ModelParams = dict[str, Array]  # arrays of MjModel that a task overrides, by name: {"body_mass": [nbody], ...}


class PhysicsState(NamedTuple):
    """The state of one world, as small as can be."""

    qpos: Array  # [nq]
    qvel: Array  # [nv]
    act: Array  # [na]
    warmstart: Array  # [nv] the solver's first guess
    mocap_pos: Array  # [nmocap, 3]
    mocap_quat: Array  # [nmocap, 4]
    sensordata: Array  # [nsensordata]
    fields: dict[str, Array]  # arrays of mjData by name, as the last substep left them


class Physics(Protocol):
    """A model, and how to move it on."""

    model: mujoco.MjModel

    def reset(self, qpos: Array, qvel: Array, params: ModelParams, mocap_pos: Array | None = None) -> PhysicsState:
        """A world at rest of forces: positions `[nq]`, velocities `[nv]`, sensors computed for them.

        Mocap bodies are put at `mocap_pos` `[nmocap, 3]`, else where the model has them.
        """

    def step(self, state: PhysicsState, ctrl: Array, params: ModelParams) -> PhysicsState:
        """Holds `ctrl` `[nu]` for the backend's number of substeps."""

    def advance(self, state: PhysicsState, ctrl: Array, params: ModelParams, substeps: int) -> PhysicsState:
        """As `step`, by that many substeps."""


def is_unstable(model: mujoco.MjModel, before: PhysicsState, after: PhysicsState) -> Array:
    """Whether a world has blown up in a step, `[]` bool, by C MuJoCo's rule for all backends.

    That is: a position, velocity or acceleration is not a number or beyond 1e10. States hold no accelerations; one is told
    by the change of velocity that it makes within a substep.
    """
    change = (after.qvel - before.qvel) / model.opt.timestep
    values = jnp.concatenate([after.qpos, after.qvel, change])
    return ~(jnp.abs(values) <= mujoco.mjMAXVAL).all()


def initial_state(model: mujoco.MjModel, qpos: Array, qvel: Array, mocap_pos: Array | None) -> PhysicsState:
    """A state at `qpos`, `qvel`; mocap bodies as `Physics.reset` says, sensors zero and no fields."""
    is_mocap = model.body_mocapid >= 0
    return PhysicsState(
        qpos=qpos,
        qvel=qvel,
        act=jnp.zeros(model.na),
        warmstart=jnp.zeros(model.nv),
        mocap_pos=jnp.asarray(model.body_pos[is_mocap], float) if mocap_pos is None else mocap_pos,
        mocap_quat=jnp.asarray(model.body_quat[is_mocap], float),
        sensordata=jnp.zeros(model.nsensordata),
        fields={},
    )
