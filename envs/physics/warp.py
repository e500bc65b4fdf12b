"""MJX with NVIDIA Warp's kernels: CUDA, and CPU for tests."""

import importlib.util

import jax
import jax.numpy as jnp
import mujoco
from mujoco import mjx

from ...errors import ConfigError
from .base import Array, ModelParams, PhysicsState
from .mjx import MjxPhysics

# Warp does not give these after a step.
_MISSING_FIELDS = {"cfrc_ext"}


class WarpPhysics(MjxPhysics):
    """See `Physics`.

    Warp allocates contacts for all worlds together, so `step` and `reset` must know how many worlds there are: they
    flatten whatever axes they are vmapped over into one (as `vmap_method="broadcast_all"` does for callbacks).
    """

    def __init__(self, model: mujoco.MjModel, substeps: int, fields: tuple[str, ...] = ()):
        if importlib.util.find_spec("warp") is None:
            raise ConfigError(
                "physics backend 'warp' needs the extra of that name: pip install 'metarl-jax[warp]' "
                "(or choose 'mujoco' or 'mjx')."
            )
        import warp

        warp.config.log_level = (
            warp.LOG_ERROR
        )  # else it prints every kernel it loads, between lines of progress and JSON
        if missing := _MISSING_FIELDS & set(fields):
            raise ConfigError(f"physics backend 'warp' cannot give {sorted(missing)}; use 'mujoco' or 'mjx'.")
        self._contacts_per_world = max(16, 4 * model.ngeom)
        self._num_worlds = 1
        super().__init__(model, substeps, fields)
        self._batched_step = _flatten_vmaps(super().step, self._set_num_worlds)
        self._batched_reset = _flatten_vmaps(super().reset, self._set_num_worlds)

    def reset(self, qpos: Array, qvel: Array, params: ModelParams, mocap_pos: Array | None = None) -> PhysicsState:
        return self._batched_reset(qpos, qvel, params, mocap_pos)

    def step(self, state: PhysicsState, ctrl: Array, params: ModelParams) -> PhysicsState:
        return self._batched_step(state, ctrl, params)

    def _set_num_worlds(self, num_worlds: int) -> None:
        self._num_worlds = num_worlds  # read by _make_data within the same trace

    def _put_model(self) -> mjx.Model:
        return mjx.put_model(self.model, impl="warp")

    def _make_data(self) -> mjx.Data:
        contacts = self._contacts_per_world
        rows = 4 * contacts + 2 * self.model.njnt + 6 * self.model.neq  # 4 edges of a friction pyramid per contact
        return mjx.make_data(self.model, impl="warp", naconmax=contacts * self._num_worlds, njmax=rows)


def _flatten_vmaps(fn, set_num_worlds):
    """`fn` (unbatched) with all the vmaps around it turned into a single one, whose size `set_num_worlds` is told."""

    @jax.custom_batching.custom_vmap
    def on_batch(*args):  # every leaf is [B, ...]
        set_num_worlds(jax.tree.leaves(args)[0].shape[0])
        return jax.vmap(fn)(*args)

    @on_batch.def_vmap
    def _(axis_size, in_batched, *args):
        full = jax.tree.map(
            lambda x, b: x if b else jnp.broadcast_to(x, (axis_size, *x.shape)), args, tuple(in_batched)
        )
        out = on_batch(*jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), full))
        out = jax.tree.map(lambda x: x.reshape(axis_size, x.shape[0] // axis_size, *x.shape[1:]), out)
        return out, jax.tree.map(lambda _: True, out)

    def unbatched(*args):
        return jax.tree.map(lambda x: x[0], on_batch(*jax.tree.map(lambda x: jnp.asarray(x)[None], args)))

    return unbatched
