"""C MuJoCo on a pool of host threads, called from jitted code."""

import collections
import copy
import functools
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import rollout

from .base import Array, ModelParams, PhysicsState, initial_state
from .host_call import host_call

_FULL = mujoco.mjtState.mjSTATE_FULLPHYSICS
_CONTROL = mujoco.mjtState.mjSTATE_CTRL | mujoco.mjtState.mjSTATE_MOCAP_POS | mujoco.mjtState.mjSTATE_MOCAP_QUAT
_MAX_MODELS = 4096  # distinct parameter settings kept as MjModel objects
_LOCK = threading.Lock()  # the pool takes one batch at a time; several devices may call at once
_HEARD: dict[str, None] = {}  # MuJoCo's warnings since they were last asked for


def num_threads() -> int:
    """Threads of the pool: the processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pools(threads: int) -> tuple[rollout.Rollout, ThreadPoolExecutor]:
    return rollout.Rollout(nthread=threads), ThreadPoolExecutor(threads)


def _hear(words: str) -> None:
    """Keeps a warning of MuJoCo's."""
    if not any(name in words for name in ("QPOS", "QVEL", "QACC")):  # that they are out of range is told by the state
        _HEARD[words.partition(" Time = ")[0]] = None


def complaints() -> list[str]:
    """What MuJoCo has warned of since this was last asked, but for worlds that blow up, in words."""
    with _LOCK:
        said = [f"mujoco: {words}" for words in _HEARD]
        _HEARD.clear()
    return said


def digest(model: mujoco.MjModel) -> str:
    """Says which model it is, in any process."""
    content = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, content)
    return hashlib.sha256(content.data).hexdigest()


class MujocoPhysics:
    """See `Physics`. Every call steps the whole batch, whatever axes it was vmapped over.

    Two host paths with one result: `mujoco.rollout`, which never touches Python between worlds; and, where `fields` are
    asked for, a loop over worlds in Python threads (`mj_step` releases the interpreter's lock), since `mujoco.rollout`
    returns states and sensors alone. The first starts every step from a zero warm start, the second carries it, as a
    loop around `mj_step` does; they differ by the solver's tolerance.
    """

    def __init__(self, model: mujoco.MjModel, substeps: int, fields: tuple[str, ...] = ()):
        self.model = model
        # A world that blows up is to show it (see `is_unstable`), not to begin anew in the middle of an episode.
        self._stepped = copy.copy(model)
        self._stepped.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._substeps = substeps
        self._shapes = {name: getattr(mujoco.MjData(model), name).shape for name in fields}
        self._name = f"mujoco {digest(model)} {fields}"
        self._calls: dict = {}  # see `host_call`
        self._data = [mujoco.MjData(model) for _ in range(num_threads())]
        self._models: collections.OrderedDict[bytes, mujoco.MjModel] = collections.OrderedDict()
        self._last: tuple[list[np.ndarray], list[mujoco.MjModel]] = ([], [])

    def reset(self, qpos: Array, qvel: Array, params: ModelParams, mocap_pos: Array | None = None) -> PhysicsState:
        state = initial_state(self.model, qpos, qvel, mocap_pos, keeps_warmstart=bool(self._shapes))
        if self.model.nsensordata == 0 and not self._shapes:
            return state  # nothing to compute, so no call
        after = self.advance(state, jnp.zeros(self.model.nu), params, substeps=0)
        return state._replace(warmstart=after.warmstart, sensordata=after.sensordata, fields=after.fields)

    def step(self, state: PhysicsState, ctrl: Array, params: ModelParams) -> PhysicsState:
        return self.advance(state, ctrl, params, self._substeps)

    def advance(self, state: PhysicsState, ctrl: Array, params: ModelParams, substeps: int) -> PhysicsState:
        """One crossing to the host, one vector there and one back: every array that crosses costs time."""
        dtype = state.qpos.dtype
        start = jnp.concatenate([jnp.zeros(1, dtype), state.qpos, state.qvel, state.act, state.warmstart])
        control = jnp.concatenate([ctrl.astype(dtype), state.mocap_pos.ravel(), state.mocap_quat.ravel()])
        sizes = [start.size, self.model.nsensordata, *(int(np.prod(shape)) for shape in self._shapes.values())]
        out = host_call(
            f"{self._name}, {substeps} substeps of {sorted(params)}",
            functools.partial(self._host, substeps=substeps, num_state=start.size),
            jax.ShapeDtypeStruct((sum(sizes),), dtype),
            jnp.concatenate([start, control]),
            params,
            keep=self._calls,
        )
        start, sensordata, *fields = jnp.split(out, np.cumsum(sizes)[:-1])
        nq, nv, na = self.model.nq, self.model.nv, self.model.na
        _, qpos, qvel, act, warmstart = jnp.split(start, np.cumsum([1, nq, nv, na]))
        shaped = {name: f.reshape(shape) for (name, shape), f in zip(self._shapes.items(), fields, strict=True)}
        return state._replace(qpos=qpos, qvel=qvel, act=act, warmstart=warmstart, sensordata=sensordata, fields=shaped)

    def _host(self, packed, params: ModelParams, substeps: int, num_state: int) -> np.ndarray:
        """`packed` [..., num_state + ncontrol], on the host -> [..., nstate + nsensordata + fields]."""
        packed = np.asarray(packed)
        batch, dtype = packed.shape[:-1], packed.dtype
        packed = packed.reshape(-1, packed.shape[-1]).astype(np.float64)
        start, control = packed[:, :num_state], packed[:, num_state:]
        run = self._run_threads if self._shapes else self._run_rollout
        with _LOCK:
            models = self._models_for({k: np.asarray(v) for k, v in params.items()}, len(start), len(batch))
            # MuJoCo would print its warnings, and write them to MUJOCO_LOG.TXT in the working directory.
            before = mujoco.get_mju_user_warning()
            mujoco.set_mju_user_warning(_hear)
            try:
                out = run(models, start, control, substeps)
            finally:
                mujoco.set_mju_user_warning(before)
        with np.errstate(over="ignore"):  # of worlds that blow up
            return out.astype(dtype).reshape(*batch, -1)

    def _run_rollout(self, models, start, control, substeps) -> np.ndarray:
        # The sensors of step n + 1 are computed on the state after step n, before it is integrated.
        num_steps = substeps + (self.model.nsensordata > 0)
        # Its checks take as long as the physics of two worlds; they ask for whole arrays, and a model for each world.
        state, sensors = _pools(len(self._data))[0].rollout(
            models * len(start) if len(models) == 1 else models,
            self._data,
            np.ascontiguousarray(start),
            np.repeat(control[:, None], num_steps, axis=1),
            control_spec=_CONTROL,
            skip_checks=True,
            nstep=num_steps,
            state=np.empty((len(start), num_steps, start.shape[1])),
            sensordata=np.empty((len(start), num_steps, self.model.nsensordata)),
        )
        return np.concatenate([state[:, substeps - 1] if substeps else start, sensors[:, -1]], axis=1)

    def _run_threads(self, models, start, control, substeps) -> np.ndarray:
        num_state = mujoco.mj_stateSize(self.model, _FULL.value)
        models = models * len(start) if len(models) == 1 else models

        def run(data: mujoco.MjData, worlds: range) -> list[np.ndarray]:
            rows = []
            for world in worlds:
                model = models[world]
                mujoco.mj_resetData(model, data)
                mujoco.mj_setState(model, data, start[world, :num_state], _FULL)
                data.qacc_warmstart[:] = start[world, num_state:]
                mujoco.mj_setState(model, data, control[world], _CONTROL)
                if substeps:
                    mujoco.mj_step(model, data, substeps)
                    mujoco.mj_rnePostConstraint(model, data)  # fills cfrc_ext, from the contacts of the last substep
                else:
                    mujoco.mj_forward(model, data)
                end = np.empty(num_state)
                mujoco.mj_getState(model, data, end, _FULL)
                warmstart = data.qacc_warmstart.copy()
                fields = [getattr(data, name).ravel().copy() for name in self._shapes]
                if self.model.nsensordata:
                    mujoco.mj_forward(model, data)
                rows.append(np.concatenate([end, warmstart, data.sensordata, *fields]))
            return rows

        count, threads = len(start), len(self._data)
        bounds = [count * i // threads for i in range(threads + 1)]
        chunks = _pools(threads)[1].map(run, self._data, map(range, bounds, bounds[1:]))
        return np.array([row for chunk in chunks for row in chunk])

    def _models_for(self, params: dict[str, np.ndarray], count: int, batch_dims: int) -> list[mujoco.MjModel]:
        """One MjModel per world, or a single one where no task changes the model.

        Derived constants (`dof_invweight0` and the like) stay those of the original model, as they do in MJX.
        """
        if not params:
            return [self._stepped]
        arrays = [v.reshape(count, *v.shape[batch_dims:]) for v in params.values()]
        if len(self._last[0]) == len(arrays) and all(map(np.array_equal, self._last[0], arrays)):
            return self._last[1]  # the usual case: the tasks have not changed since the last step
        models = []
        for world in range(count):
            row = [a[world] for a in arrays]
            code = b"".join(a.tobytes() for a in row)
            if code not in self._models:
                model = copy.copy(self._stepped)
                for name, value in zip(params, row, strict=True):
                    getattr(model, name)[:] = value
                self._models[code] = model
            self._models.move_to_end(code)
            models.append(self._models[code])
        while len(self._models) > max(_MAX_MODELS, count):
            self._models.popitem(last=False)
        self._last = ([a.copy() for a in arrays], models)
        return models
