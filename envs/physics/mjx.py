"""MuJoCo as an XLA program (MJX), on CPU, GPU and TPU."""

import jax
import mujoco
from mujoco import mjx

from ...errors import ConfigError
from .base import Array, ModelParams, PhysicsState, initial_state


class MjxPhysics:
    """See `Physics`. `fields` are read from `mjx.Data` as the last substep left them.

    MJX and Warp turn the friction pyramid of a capsule that stands on a plane at over 60 degrees about the normal,
    C MuJoCo does not: the Ant's trajectories part there. They part anyway since MuJoCo 4, whose RK4 treats free joints
    otherwise than MJX 3.17: by 1e-4 in a step of the Ant, in the median, and by 0.2 where contacts begin or end.
    """

    def __init__(self, model: mujoco.MjModel, substeps: int, fields: tuple[str, ...] = ()):
        self.model = model
        self._substeps = substeps
        self._fields = fields
        self._mjx_model = self._put_model()

    def _put_model(self) -> mjx.Model:
        try:
            return mjx.put_model(self.model, impl="jax")
        except NotImplementedError as error:
            raise ConfigError(
                f"MJX (XLA) cannot simulate this model: {str(error).rstrip('.')}. Use the 'mujoco' or the 'warp' physics backend."
            ) from error

    def _make_data(self) -> mjx.Data:
        return mjx.make_data(self.model, impl="jax")

    def reset(self, qpos: Array, qvel: Array, params: ModelParams, mocap_pos: Array | None = None) -> PhysicsState:
        state = initial_state(self.model, qpos, qvel, mocap_pos)
        if self.model.nsensordata == 0 and not self._fields:
            return state  # nothing to compute
        model = self._mjx_model.tree_replace(params)
        return self._read(mjx.forward(model, self._write(state)), state)

    def step(self, state: PhysicsState, ctrl: Array, params: ModelParams) -> PhysicsState:
        return self.advance(state, ctrl, params, self._substeps)

    def advance(self, state: PhysicsState, ctrl: Array, params: ModelParams, substeps: int) -> PhysicsState:
        model = self._mjx_model.tree_replace(params)
        data = self._write(state).replace(ctrl=ctrl)
        data, _ = jax.lax.scan(lambda d, _: (mjx.step(model, d), None), data, None, length=substeps)
        if "cfrc_ext" in self._fields:
            data = mjx.rne_postconstraint(model, data)
        after = self._read(data, state)
        if self.model.nsensordata:
            after = after._replace(sensordata=mjx.forward(model, data).sensordata)
        return after

    def _write(self, state: PhysicsState) -> mjx.Data:
        return self._make_data().replace(
            qpos=state.qpos,
            qvel=state.qvel,
            act=state.act,
            qacc_warmstart=state.warmstart,
            mocap_pos=state.mocap_pos,
            mocap_quat=state.mocap_quat,
        )

    def _read(self, data: mjx.Data, state: PhysicsState) -> PhysicsState:
        return state._replace(
            qpos=data.qpos,
            qvel=data.qvel,
            act=data.act,
            warmstart=data.qacc_warmstart,
            sensordata=data.sensordata,
            fields={name: _field(data, name) for name in self._fields},
        )


def _field(data: mjx.Data, name: str) -> Array:
    """An array of mjData, which MJX keeps in one of two records."""
    return getattr(data if name in data.__dataclass_fields__ else data._impl, name)
