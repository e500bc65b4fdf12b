"""Environments that are registered with Gymnasium, `gymnasium/ID`: stepped on the host, a whole batch of worlds at a time.

Gymnasium's environments keep their state to themselves. What stands for it here is the number of a vector environment on the
host and how many steps it has made: from its latest state, and from no other, an episode can go on. An episode that cannot, such
as those that were under way when a run was saved, is cut off by a step in which nothing happens.
"""

import secrets
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import ConfigError, lookup
from ...types import Array, EnvSpec, Key, Task, TimeStep
from ..physics.host_call import host_call
from ..task_sets import single_task
from . import import_package, spaces

# Vector environments of one size that are kept: a program has a few rollouts, whose beginnings XLA may put before the others'
# ends; the one that was not used for longest is begun anew.
_KEPT = 8


class GymnasiumState(NamedTuple):
    """Where an episode stands: arrays of JAX, on the host of NumPy."""

    worlds: Any  # [] int32, the number of a vector environment
    time: Any  # [] int32, steps that it has made
    obs: Any  # of the shape of Gymnasium's, the latest


class Worlds:
    """A vector environment, and how far it is."""

    def __init__(self, envs: Any, kind: tuple):
        self.envs, self.kind, self.time = envs, kind, 0
        self.begins_by_itself = envs.metadata["autoreset_mode"].name == "SAME_STEP"
        self.ended = np.zeros(envs.num_envs, bool)  # which episodes the latest step ended,
        self.begun = np.zeros(0)  # and the observations after it, where the next ones have begun by themselves


_worlds: dict[int, Worlds] = {}  # by number, the latest used last
_lock = threading.RLock()  # XLA calls from its own threads


class GymnasiumEnv:
    """See `MetaEnv`; there is a single task.

    Args:
      name: of the spec; environments of one name are the same.
      make_vector: how many -> `gymnasium.vector.VectorEnv`, whose autoreset mode is DISABLED (its `reset` takes the option
        "reset_mask") or SAME_STEP.
      horizon: steps per episode; under SAME_STEP, the time limit of its environments.

    Raises:
      ConfigError: another autoreset mode, or observations or actions that no policy here can take.
    """

    def __init__(self, name: str, make_vector: Callable[[int], Any], horizon: int):
        first = make_vector(1)
        mode = getattr(first.metadata.get("autoreset_mode"), "name", None)
        if mode not in ("DISABLED", "SAME_STEP"):
            raise ConfigError(
                f"{name!r} has the autoreset mode {mode}, which adds steps to episodes that are none: DISABLED and SAME_STEP "
                "can be used."
            )
        self.tasks, self.sample_task = jnp.asarray(single_task.tasks), single_task
        self._make_vector = make_vector
        self._keep: dict[str, Any] = {}
        self._entry, self._observed = spaces.observed(first.single_observation_space, name)
        self._actions = first.single_action_space
        self.spec = EnvSpec(
            name=name,
            obs_dim=spaces.size(self._observed),
            horizon=horizon,
            **spaces.action_fields(self._actions, name),
        )
        first.close()
        dtype = jnp.int32 if spaces.is_discrete(self._observed) else jnp.float32
        number, flag = jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((), bool)
        self._state = GymnasiumState(number, number, jax.ShapeDtypeStruct(self._observed.shape, dtype))
        self._stepped = (self._state, jax.ShapeDtypeStruct((), jnp.float32), flag, flag)

    def reset(self, key: Key, task: Task) -> tuple[GymnasiumState, TimeStep]:
        state = self._call("reset", self._begin, self._state, jax.random.bits(key))
        return state, self._timestep(state)

    def restart(self, ended: Array, state: GymnasiumState, key: Key, task: Task) -> tuple[GymnasiumState, TimeStep]:
        state = self._call("restart", self._begin_ended, self._state, ended, state, jax.random.bits(key))
        return state, self._timestep(state)

    def step(self, state: GymnasiumState, action: Array, task: Task) -> tuple[GymnasiumState, TimeStep]:
        state, reward, terminated, truncated = self._call("step", self._advance, self._stepped, state, action)
        return state, self._timestep(state, reward, terminated, truncated)

    def _timestep(self, state: GymnasiumState, reward: Any = 0.0, terminated: Any = False, truncated: Any = False):
        obs = spaces.vector(self._observed, state.obs)
        return TimeStep(obs, jnp.asarray(reward), jnp.asarray(terminated), truncated=jnp.asarray(truncated))

    def _call(self, what: str, function: Callable, result: Any, *args: Any) -> Any:
        name = f"gymnasium {what} {self.spec.name} {self.spec.horizon}"
        return host_call(name, function, result, *args, keep=self._keep)

    # On the host: arrays with any leading axes, which are those of a batch of worlds.

    def _begin(self, seed: np.ndarray) -> GymnasiumState:
        with _lock:
            number, worlds = self._fresh(seed.size)
            obs, _ = worlds.envs.reset(seed=seed.ravel().tolist())
            return self._state_of(seed.shape, number, worlds, self._array(obs))

    def _begin_ended(self, ended: np.ndarray, state: GymnasiumState, seed: np.ndarray) -> GymnasiumState:
        with _lock:
            number, worlds = _find(state)
            if worlds is None:  # then all were cut off
                return self._begin(seed)
            mask = np.array(ended).ravel()
            if not mask.any():  # of several devices' worlds, those of others have ended
                return state
            if not worlds.begins_by_itself:
                begun = worlds.envs.reset(seed=seed.ravel().tolist(), options={"reset_mask": mask})[0]
                return self._state_of(ended.shape, number, worlds, self._array(begun))
            if (mask & ~worlds.ended).any():
                raise RuntimeError(f"{self.spec.name!r} does not end its episodes after {self.spec.horizon} steps.")
            return self._state_of(ended.shape, number, worlds, worlds.begun)

    def _advance(self, state: GymnasiumState, action: np.ndarray) -> tuple:
        batch = state.time.shape
        with _lock:
            number, worlds = _find(state)
            if worlds is None:
                return state, np.zeros(batch, np.float32), np.zeros(batch, bool), np.ones(batch, bool)
            action = np.asarray(action).reshape(-1, *action.shape[len(batch) :])
            taken = spaces.action(self._actions, action).astype(self._actions.dtype)
            obs, *told, infos = worlds.envs.step(taken)
            reward, terminated, truncated = (
                np.asarray(x, like.dtype).reshape(batch) for x, like in zip(told, self._stepped[1:], strict=True)
            )
            obs = self._array(obs)
            worlds.time, worlds.ended = worlds.time + 1, (terminated | truncated).ravel()
            if worlds.begins_by_itself:
                worlds.begun = obs.copy()
                for row in np.flatnonzero(worlds.ended):
                    obs[row] = self._array(infos["final_obs"][row])
            return self._state_of(batch, number, worlds, obs), reward, terminated, truncated

    def _fresh(self, size: int) -> tuple[int, Worlds]:
        """Worlds that nobody uses, under a new number."""
        kind = (self.spec.name, self.spec.horizon, size)
        mine = [number for number, worlds in _worlds.items() if worlds.kind == kind]
        envs = _worlds.pop(mine[0]).envs if len(mine) >= _KEPT else self._make_vector(size)
        number = secrets.randbits(31)  # a number in a checkpoint is that of no other worlds
        _worlds[number] = Worlds(envs, kind)
        return number, _worlds[number]

    def _array(self, obs: Any) -> np.ndarray:
        """What is taken of observations, as an array of its own."""
        return np.array(obs if self._entry is None else obs[self._entry], self._state.obs.dtype)

    def _state_of(self, batch: tuple[int, ...], number: int, worlds: Worlds, obs: np.ndarray) -> GymnasiumState:
        numbers, time = np.full(batch, number, np.int32), np.full(batch, worlds.time, np.int32)
        return GymnasiumState(numbers, time, obs.reshape(*batch, *self._observed.shape))


def _find(state: GymnasiumState) -> tuple[int, Worlds | None]:
    """The worlds of which this is the latest state, and their number; None where there are none."""
    number, time = (int(np.ravel(x)[0]) for x in (state.worlds, state.time))
    worlds = _worlds.get(number)
    latest = worlds is not None and (worlds.time, worlds.envs.num_envs) == (time, np.size(state.time))
    if not latest or (state.worlds != number).any() or (state.time != time).any():
        return number, None
    _worlds[number] = _worlds.pop(number)
    return number, worlds


def make(name: str, physics: str, horizon: int | None, split: str) -> GymnasiumEnv:
    """Builds what `gymnasium/ID` names; ConfigError where a physics backend is asked for, since there is none to choose."""
    gymnasium = import_package("gymnasium", "gymnasium", name)
    _, _, which = name.partition("/")
    if physics != "auto":
        raise ConfigError(
            f"{name!r} brings its own physics: leave the physics backend at 'auto' instead of {physics!r}."
        )
    try:
        spec = gymnasium.spec(which)
    except (gymnasium.error.Error, ImportError) as error:
        lookup(which, dict.fromkeys(gymnasium.registry), "environment of Gymnasium")
        raise ConfigError(f"{name!r}: {error}") from error
    horizon = horizon or spec.max_episode_steps
    if horizon is None:
        raise ConfigError(f"{name!r} has no time limit: give one with --horizon.")
    try:
        return GymnasiumEnv(name, lambda size: _make_vector(gymnasium, spec, size, horizon), horizon)
    except (gymnasium.error.Error, ImportError) as error:  # it is registered, but what it needs is not installed
        raise ConfigError(f"{name!r} cannot be made: {error}") from error


def _make_vector(gymnasium: Any, spec: Any, size: int, horizon: int) -> Any:
    """A vector environment of one that is registered: its own where it has no other."""
    if spec.entry_point is None:
        return gymnasium.make_vec(spec, num_envs=size, max_episode_steps=horizon)
    disabled = {"autoreset_mode": gymnasium.vector.AutoresetMode.DISABLED}
    kwargs = {"vectorization_mode": "sync", "vector_kwargs": disabled, "max_episode_steps": horizon}
    return gymnasium.make_vec(spec, num_envs=size, **kwargs)
