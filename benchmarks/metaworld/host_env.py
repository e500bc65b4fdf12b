"""The package's environments to train on: `metaworld-host/WHAT/option/...`, with the names and options of `metaworld/`.

A `MetaEnv` is pure, and so is this one: its state is all that the package's simulator knows of an episode, bit for bit, and each
step hands it to a simulator in a worker process. It is slower than stepping in place, and than our own environments by far.
"""

import logging
import threading
import weakref
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from ... import envs
from ...envs.metaworld import MetaWorldEnv, parse
from ...envs.metaworld.suites import Split
from ...envs.physics.mujoco import num_threads
from ...errors import ConfigError
from ...types import Array, Key, MetaEnv, Suite, Task, TimeStep
from . import mended  # noqa: F401  # the package's environments could not be made without
from .worker import INFO
from .workers import TIMEOUT, Worker

logging.getLogger("jax._src.callback").setLevel(
    logging.CRITICAL
)  # prints the traceback of a WorkerError that it passes on


class State(NamedTuple):
    """What a simulator in a worker knows of an episode: S numbers of double precision, as pairs of integers."""

    bits: Array  # [2 S] uint32


class Pool:
    """Worker processes that step the package's environments of some names; started by the first call."""

    def __init__(self, names: tuple[str, ...], show_goal: bool, reward: str):
        self._names, self._build = names, ([ALL_V3_ENVIRONMENTS[name] for name in names], show_goal, reward)
        self._lock = threading.Lock()  # callbacks come from XLA's threads
        self._workers: list[Worker] = []
        weakref.finalize(self, _stop, self._workers)

    def ask(self, command: str, index: int, *rows: np.ndarray) -> list[np.ndarray]:
        """The answers to a command of `worker.Simulators` about `rows` `[n, ...]`, shared out among the workers."""
        with self._lock:
            while len(self._workers) < num_threads():
                self._workers.append(Worker("Simulators", self._names, TIMEOUT, *self._build))
                self._workers[-1].receive()
            # Neighbouring rows have the same task, and each worker keeps environments of the tasks that it meets.
            parts = zip(*(np.array_split(x, len(self._workers)) for x in rows), strict=True)
            asked = [(worker, part) for worker, part in zip(self._workers, parts, strict=True) if len(part[0])]
            for worker, part in asked:
                worker.send(command, index, *part)
            return [np.concatenate(x) for x in zip(*(worker.receive() for worker, _ in asked), strict=True)]


class HostEnv:
    """See `MetaEnv`: a family of the package, with tasks, sizes and info of our own environment of it."""

    def __init__(self, ours: MetaWorldEnv, pool: Pool, index: int, family: str, label: np.ndarray):
        self.spec, self.tasks, self.sample_task = ours.spec, ours.tasks, ours.sample_task
        self._pool, self._index, self._label = pool, index, label
        model = ALL_V3_ENVIRONMENTS[family]().model
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION) + 18
        self._shapes = (
            State(jax.ShapeDtypeStruct((2 * size,), jnp.uint32)),
            jax.ShapeDtypeStruct((39,), jnp.float32),
        )

    def reset(self, key: Key, task: Task) -> tuple[State, TimeStep]:
        state, obs = jax.pure_callback(self._begin, self._shapes, task, vmap_method="broadcast_all")
        return state, self._timestep(obs, jnp.zeros(()), jnp.zeros(len(INFO)))

    def step(self, state: State, action: Array, task: Task) -> tuple[State, TimeStep]:
        numbers = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((), (len(INFO),))]
        state, obs, reward, info = jax.pure_callback(
            self._advance, (*self._shapes, *numbers), task, state, action, vmap_method="broadcast_all"
        )
        return state, self._timestep(obs, reward, info)

    def _timestep(self, obs: Array, reward: Array, info: Array) -> TimeStep:
        named = dict(zip(INFO, info, strict=True))
        return TimeStep(jnp.concatenate([obs, self._label]), reward, jnp.array(False), named)

    def _begin(self, task: np.ndarray) -> tuple:
        return self._ask("begin", np.asarray(task, np.float64))

    def _advance(self, task: np.ndarray, state: State, action: np.ndarray) -> tuple:
        numbers = np.ascontiguousarray(state.bits).view(np.float64)
        return self._ask("advance", np.asarray(task, np.float64), numbers, np.asarray(action))

    def _ask(self, command: str, task: np.ndarray, *rest: np.ndarray) -> tuple:
        """Rows of any leading axes, those of `task`."""
        batch = task.shape[:-1]
        rows = [x.reshape(-1, x.shape[-1]) for x in (task, *rest)]
        states, *others = self._pool.ask(command, self._index, *rows)
        bits = states.view(np.uint32).reshape(*batch, -1)
        return State(bits), *(x.astype(np.float32).reshape((*batch, *x.shape[1:])) for x in others)


def make(name: str, *, physics: str, horizon: int | None, split: Split) -> MetaEnv | Suite:
    """Builds what `metaworld-host/...` names; see `envs.make`. ConfigError on a backend that is not the package's."""
    if physics not in ("auto", "mujoco"):
        raise ConfigError(f"{name!r} steps the package, whose physics is mujoco, not {physics!r}.")
    _, _, rest = name.partition("/")
    ours = envs.make(f"metaworld/{rest}", physics="mujoco", horizon=horizon, split=split)
    parts = parse(name)
    families = parts.families(split)
    pool = Pool(families, parts.shows_goal, parts.reward)
    labels = np.eye(len(families)) if parts.one_hot else np.zeros((len(families), 0))
    members = ours.envs if isinstance(ours, Suite) else (ours,)
    rows = enumerate(zip(members, families, labels, strict=True))
    hosts = tuple(HostEnv(member, pool, index, family, label) for index, (member, family, label) in rows)
    spec = ours.spec._replace(name=name)
    if isinstance(ours, Suite):
        return Suite(spec, hosts)
    hosts[0].spec = spec
    return hosts[0]


def _stop(workers: list[Worker]) -> None:
    for worker in workers:
        worker.stop()
