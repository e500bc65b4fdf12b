"""MuJoCo-Warp, which comes with MJX: CUDA, and CPU for tests."""

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ...errors import ConfigError
from .base import Array, ModelParams, PhysicsState, initial_state
from .capacities import capacity_of

if TYPE_CHECKING:
    from .warp_worlds import Program

# Warp does not give these after a step.
_MISSING_FIELDS = {"cfrc_ext"}


class WarpPhysics:
    """See `Physics`. The state crosses to Warp as one row of numbers per world (see warp_worlds.py)."""

    def __init__(self, model: mujoco.MjModel, substeps: int, fields: tuple[str, ...] = ()):
        if importlib.util.find_spec("warp") is None:
            raise ConfigError(
                "physics backend 'warp' needs the extra of that name: pip install 'metarl-jax[warp]' "
                "(or choose 'mujoco' or 'mjx')."
            )
        if missing := _MISSING_FIELDS & set(fields):
            raise ConfigError(f"physics backend 'warp' cannot give {sorted(missing)}; use 'mujoco' or 'mjx'.")
        import warp

        warp.config.log_level = (
            warp.LOG_ERROR
        )  # it names every kernel that it loads, between lines of progress and JSON
        self.model = model
        self._substeps = substeps
        self._fields = fields
        self._capacity = capacity_of(model)

    def reset(self, qpos: Array, qvel: Array, params: ModelParams, mocap_pos: Array | None = None) -> PhysicsState:
        state = initial_state(self.model, qpos, qvel, mocap_pos)
        if self.model.nsensordata == 0 and not self._fields:
            return state  # nothing to compute
        after = self.advance(state, jnp.zeros(self.model.nu), params, substeps=0)
        return state._replace(sensordata=after.sensordata, fields=after.fields)

    def step(self, state: PhysicsState, ctrl: Array, params: ModelParams) -> PhysicsState:
        return self.advance(state, ctrl, params, self._substeps)

    def advance(self, state: PhysicsState, ctrl: Array, params: ModelParams, substeps: int) -> PhysicsState:
        """As `step`, by that many substeps."""
        from .warp_worlds import call

        (row,) = call([self.program(params, substeps)], [self.pack(state, ctrl, params)[None]])
        return self.unpack(row[0], state)

    def program(self, params: ModelParams, substeps: int | None = None) -> "Program":
        """What moves these worlds on, by the substeps of a step where none are given."""
        from .warp_worlds import Program, make_scene

        scene = make_scene(self.model, self._capacity, tuple(sorted(params)), self._fields)
        return Program(scene, self._substeps if substeps is None else substeps)

    def pack(self, state: PhysicsState, ctrl: Array, params: ModelParams) -> Array:
        """A row of `Scene.inputs`."""
        arrays = [state.qpos, state.qvel, state.act, state.warmstart, ctrl, state.mocap_pos, state.mocap_quat]
        arrays += [params[name] for name in sorted(params)]
        return jnp.concatenate([x.ravel().astype(jnp.float32) for x in arrays])

    def unpack(self, row: Array, state: PhysicsState) -> PhysicsState:
        """The state that a row of `Scene.outputs` says, in the precision of `state`."""
        data = mujoco.MjData(self.model)
        shapes = {"qpos": (self.model.nq,), "qvel": (self.model.nv,), "act": (self.model.na,)}
        shapes |= {"warmstart": (self.model.nv,)} | {name: getattr(data, name).shape for name in self._fields}
        shapes |= {"sensordata": (self.model.nsensordata,)}
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
        parts = jnp.split(row.astype(state.qpos.dtype), ends[:-1])
        values = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        fields = {name: values.pop(name) for name in self._fields}
        return state._replace(**values, fields=fields)

    @staticmethod
    def step_together(
        physics: Sequence["WarpPhysics"], states: Sequence[PhysicsState], ctrls: Sequence[Array]
    ) -> list[PhysicsState]:
        """`step` of several scenes, side by side on a GPU; states and controls have leading axes `[N, E]`."""
        from .warp_worlds import call

        each = list(zip(physics, states, ctrls, strict=True))
        rows = [jax.vmap(jax.vmap(lambda s, c, p=p: p.pack(s, c, {})))(state, ctrl) for p, state, ctrl in each]
        flat = call([p.program({}) for p in physics], [row.reshape(-1, row.shape[-1]) for row in rows])
        after = [out.reshape(*row.shape[:2], -1) for row, out in zip(rows, flat, strict=True)]
        return [jax.vmap(jax.vmap(p.unpack))(out, state) for (p, state, _), out in zip(each, after, strict=True)]
