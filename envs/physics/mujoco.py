"""C MuJoCo on a pool of host threads, called from jitted code."""

import contextlib
import copy
import functools
import hashlib
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError

from ...errors import ConfigError
from .base import Array, ModelParams, PhysicsState, initial_state
from .host_call import host_call

_STATE = mujoco.mjtState
_NOT_KEPT = _STATE.mjSTATE_HISTORY | _STATE.mjSTATE_USERDATA | _STATE.mjSTATE_PLUGIN | _STATE.mjSTATE_PLASTIC
_FORCES = {"cacc", "cfrc_int", "cfrc_ext"}  # fields that `mj_step` leaves to `mj_rnePostConstraint`
_LOCK = threading.Lock()  # the threads take one batch at a time; several devices may call at once
_HEARD: dict[str, None] = {}  # MuJoCo's warnings since they were last asked for


def num_threads() -> int:
    """Threads of the pool: the processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _hear(words: str) -> None:
    """Keeps a warning of MuJoCo's."""
    if not any(name in words for name in ("QPOS", "QVEL", "QACC")):  # that they are out of range is told by the state
        _HEARD[words.partition(" Time = ")[0]] = None


@contextlib.contextmanager
def _hearing() -> Iterator[None]:
    """MuJoCo would print its warnings, and write them to MUJOCO_LOG.TXT in the working directory."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_hear)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


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

    The solver starts from the warm start that the state carries: a world moves as in a loop around `mj_step`, bit for bit
    where the state is in double precision. A world in which MuJoCo raises an error comes back as NaN.
    """

    def __init__(self, model: mujoco.MjModel, substeps: int, fields: tuple[str, ...] = ()):
        if mujoco.mj_stateSize(model, _NOT_KEPT):
            raise ConfigError(
                "The model has delays, user data, plugins or plasticity, whose state `PhysicsState` lacks."
            )
        self.model = model
        # A world that blows up is to show it (see `is_unstable`), not to begin anew in the middle of an episode.
        self._stepped = copy.copy(model)
        self._stepped.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._substeps = substeps
        self._shapes = {name: getattr(mujoco.MjData(model), name).shape for name in fields}
        # What the host gives back of a world: `_kept`, fields, sensors.
        self._back = [(model.nq,), (model.nv,), (model.na,), (model.nv,), *self._shapes.values(), (model.nsensordata,)]
        self._size_back = sum(math.prod(shape) for shape in self._back)
        # What must be computed after the last substep so that the sensors describe the state that is returned.
        self._stage = int(max(model.sensor_needstage, default=0))
        self._name = f"mujoco {digest(model)} {fields}"
        self._calls: dict = {}  # see `host_call`
        self._worlds: dict[tuple, _Worlds] = {}  # by what `_advance` says of them

    def reset(self, qpos: Array, qvel: Array, params: ModelParams, mocap_pos: Array | None = None) -> PhysicsState:
        state = initial_state(self.model, qpos, qvel, mocap_pos)
        if self.model.nsensordata == 0 and not self._shapes:
            return state  # nothing to compute, so no call
        after = self.advance(state, jnp.zeros(self.model.nu), params, substeps=0)
        return state._replace(sensordata=after.sensordata, fields=after.fields)

    def step(self, state: PhysicsState, ctrl: Array, params: ModelParams) -> PhysicsState:
        return self.advance(state, ctrl, params, self._substeps)

    def advance(self, state: PhysicsState, ctrl: Array, params: ModelParams, substeps: int) -> PhysicsState:
        """One crossing to the host, one vector there and one back: every array that crosses costs time."""
        out = host_call(
            f"{self._name}, {substeps} substeps of {sorted(params)}",
            functools.partial(self._host, substeps=substeps),
            jax.ShapeDtypeStruct((self._size_back,), state.qpos.dtype),
            _pack(state, ctrl),
            params,
            keep=self._calls,
        )
        return self._unpack(out, state)

    @staticmethod
    def step_together(
        physics: Sequence["MujocoPhysics"], states: Sequence[PhysicsState], ctrls: Sequence[Array]
    ) -> list[PhysicsState]:
        """See `together`: one crossing to the host, where the threads share the scenes and never wait for XLA between two."""
        packed = [jax.vmap(jax.vmap(_pack))(state, ctrl) for state, ctrl in zip(states, ctrls, strict=True)]
        outs = host_call(
            "; ".join(f"{p._name}, {p._substeps} substeps" for p in physics),
            lambda rows: _share(physics, rows),
            [jax.ShapeDtypeStruct((*x.shape[:2], p._size_back), x.dtype) for p, x in zip(physics, packed, strict=True)],
            packed,
            keep=physics[0]._calls,
        )
        each = zip(physics, outs, states, strict=True)
        return [jax.vmap(jax.vmap(p._unpack))(out, state) for p, out, state in each]

    def _unpack(self, out: Array, state: PhysicsState) -> PhysicsState:
        """The state after, from what the host gives back."""
        parts = jnp.split(out, np.cumsum([math.prod(shape) for shape in self._back])[:-1])
        qpos, qvel, act, warmstart, *fields, sensordata = (x.reshape(s) for x, s in zip(parts, self._back, strict=True))
        named = dict(zip(self._shapes, fields, strict=True))
        return state._replace(qpos=qpos, qvel=qvel, act=act, warmstart=warmstart, sensordata=sensordata, fields=named)

    def _host(self, packed: np.ndarray, params: dict[str, np.ndarray], substeps: int) -> np.ndarray:
        """On the host: `packed` [..., kept + controls + mocap poses] -> [..., kept + fields + sensors]."""
        with _LOCK, _hearing():
            return self._advance(packed, params, substeps)

    def _advance(
        self,
        packed: np.ndarray,
        params: dict[str, np.ndarray],
        substeps: int,
        threads: int | None = None,
        place: int = 0,
    ) -> np.ndarray:
        """As `_host`, on `threads` (None: all of them), with the worlds of that `place`, which nobody else may use meanwhile."""
        batch, rows = packed.shape[:-1], packed.reshape(-1, packed.shape[-1])
        flat = {name: x.reshape(len(rows), *x.shape[len(batch) :]) for name, x in params.items()}
        names = tuple(sorted(flat))
        key = names, threads, place
        # A smaller batch takes the first worlds of a larger one's.
        if key not in self._worlds or self._worlds[key].batch.nsim < len(rows):
            self._worlds[key] = _Worlds(self._stepped, len(rows), names, tuple(self._shapes), threads or num_threads())
        with np.errstate(over="ignore"):  # numbers of worlds that blow up
            return self._worlds[key].advance(rows, flat, substeps, self._stage).reshape(*batch, -1)


def _share(physics: Sequence[MujocoPhysics], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Steps several scenes at once: on one thread each where there are as many scenes, else on equal shares of them."""
    workers = min(len(physics), num_threads())
    threads = -(-num_threads() // workers)
    with _LOCK, _hearing():
        jobs = [
            _pool(workers).submit(each._advance, packed, {}, each._substeps, threads, place)
            for place, (each, packed) in enumerate(zip(physics, rows, strict=True))
        ]
        return [job.result() for job in jobs]


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers)


def _kept(state: PhysicsState) -> list[Array]:
    """What a step changes and the next one begins with."""
    return [state.qpos, state.qvel, state.act, state.warmstart]


def _pack(state: PhysicsState, ctrl: Array) -> Array:
    """What the host needs of a world, `[kept + controls + mocap poses]`."""
    inputs = [*_kept(state), ctrl.astype(state.qpos.dtype), state.mocap_pos.ravel(), state.mocap_quat.ravel()]
    return jnp.concatenate(inputs)


class _Worlds:
    """Worlds of one model whose arrays `names` differ from world to world.

    Constants that MuJoCo derives from them (`dof_invweight0` and the like) stay those of the model, as they do in MJX.
    """

    def __init__(
        self, model: mujoco.MjModel, count: int, names: tuple[str, ...], fields: tuple[str, ...], threads: int
    ):
        self._forces = _FORCES.intersection(fields)
        self.batch = Batch(model, count, threads, persistent=bool(self._forces))
        self._params = {name: self.batch.expand(name) for name in names}
        self._scratch, self._model = mujoco.MjData(model), copy.copy(model)
        self._fields = {
            name: np.zeros((count, *getattr(self._scratch, name).shape))
            if name in self._forces
            else self.batch.bind(name)
            for name in fields
        }
        self._sensordata = self.batch.bind("sensordata")
        # A row of the state: time, what is kept from step to step, controls, what is never used, poses of mocap bodies.
        num_kept = model.nq + 2 * model.nv + model.na
        self._kept = self.batch.state[:, 1 : 1 + num_kept]
        self._inputs = [self.batch.state[:, 1 : 1 + num_kept + model.nu]]
        self._inputs += [self.batch.bind(name).reshape(count, -1) for name in ("mocap_pos", "mocap_quat")]

    def advance(self, rows: np.ndarray, params: dict[str, np.ndarray], substeps: int, stage: int) -> np.ndarray:
        """`rows` and `params` [count, ...] of the first worlds -> their [count, kept + fields + sensors], in `rows`' type.

        Without substeps all is computed for the state as it is. `stage` is what the sensors need.
        """
        count, worlds = len(rows), np.arange(len(rows))
        self._write(rows, params)
        if substeps:
            failed = self._call(self.batch.step, worlds, substeps, 0 if self._fields else stage)
        else:
            failed = self._call(self.batch.forward, worlds)
        if self._forces:
            self._compute_forces(count)
        parts = [self._kept[:count], *(field[:count].reshape(count, -1) for field in self._fields.values())]
        if self._fields and stage and substeps:  # fields are of the last substep, sensors of the state after it
            parts = [x.copy() for x in parts]
            failed |= self._call(self.batch.forward, worlds, stage)
        out = np.concatenate([*parts, self._sensordata[:count]], axis=1, dtype=rows.dtype, casting="same_kind")
        out[failed] = np.nan
        return out

    def _write(self, rows: np.ndarray, params: dict[str, np.ndarray]) -> None:
        count, ends = len(rows), np.cumsum([x.shape[1] for x in self._inputs])
        self.batch.state[:count, 0] = 0.0
        for state, values in zip(self._inputs, np.split(rows, ends[:-1], axis=1), strict=True):
            state[:count] = values
        for name, values in params.items():
            self._params[name][:count] = values

    def _compute_forces(self, count: int) -> None:
        """Fills `_FORCES` from the contacts that the last substep left in the MjData of each world."""
        for world in range(count):
            self.batch.get_data(world, self._scratch)
            if self._params:
                self.batch.get_model(world, self._model)
            mujoco.mj_rnePostConstraint(self._model, self._scratch)
            for name in self._forces:
                self._fields[name][world] = getattr(self._scratch, name)

    def _call(self, function: Callable, worlds: np.ndarray, *args: int) -> np.ndarray:
        """In which of `worlds` MuJoCo raised an error, bool; they stay as they were, the others go on."""
        try:
            function(worlds, *args)
        except SimulationError as error:
            _hear(str(error).partition("\n")[0])
        return self.batch.status[worlds] != 0
