"""Environments of gymnax: `gymnax/NAME`, `gymnax/NAME/tasks=MODULE:FUNCTION`, whose tasks are its parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ...errors import ConfigError, lookup
from ...types import Array, EnvSpec, Key, Task, TimeStep
from ..task_sets import single_task
from . import check_draws, import_package, parse, spaces


class GymnaxState(NamedTuple):
    """Where an episode stands."""

    state: Any  # the package's
    key_data: Array  # of a random key


class GymnaxEnv:
    """See `MetaEnv`: `reset_env` and `step_env` of an environment of gymnax, which do not begin episodes by themselves.

    Args:
      name: of the spec.
      env: of gymnax's interface, version 1 or later, where termination and time limit are told apart.
      params: of all tasks but for what `draw` changes. Its time limit is that of all tasks.
      draw: (params, key) -> params of a task; None where there is a single one.

    Raises:
      ConfigError: observations or actions that no policy here can take, or a function that cannot draw tasks.
    """

    def __init__(self, name: str, env: Any, params: Any, draw: Callable[[Any, Key], Any] | None = None):
        if not hasattr(env, "is_truncated"):
            raise ConfigError(
                f"{name!r} is of a gymnax before 1.0, which takes time limits for terminations: update it."
            )
        self._env, self._params, self._draw = env, params, draw
        self.tasks = jnp.asarray(single_task.tasks) if draw is None else None
        self._entry, self._observed = spaces.observed(env.observation_space(params), name)
        self._actions = env.action_space(params)
        self._first = jax.eval_shape(env.reset_env, jax.random.key(0), params)[1]
        self.spec = EnvSpec(
            name=name,
            obs_dim=spaces.size(self._observed),
            horizon=int(params.max_steps_in_episode),
            **spaces.action_fields(self._actions, name),
        )
        if draw is not None:
            check_draws(self.sample_task, name, "(params, key) -> params")

    def sample_task(self, key: Key) -> Task:
        if self._draw is None:
            return single_task(key)
        drawn = self._draw(self._params, key).replace(max_steps_in_episode=self.spec.horizon)
        return jax.tree.map(lambda own, x: jnp.asarray(x, jnp.result_type(own)), self._params, drawn)

    def reset(self, key: Key, task: Task) -> tuple[GymnaxState, TimeStep]:
        key, key_reset = jax.random.split(key)
        obs, state = self._env.reset_env(key_reset, self._under(task))
        return self._answer(key, state, obs, jnp.zeros(()), jnp.array(False))

    def step(self, state: GymnaxState, action: Array, task: Task) -> tuple[GymnaxState, TimeStep]:
        key, key_step = jax.random.split(jax.random.wrap_key_data(state.key_data))
        action = spaces.action(self._actions, action)
        obs, after, reward, terminated, _ = self._env.step_env(key_step, state.state, action, self._under(task))
        return self._answer(key, after, obs, reward, terminated)

    def _under(self, task: Task) -> Any:
        return self._params if self._draw is None else task

    def _answer(self, key: Key, state: Any, obs: Any, reward: Array, terminated: Array) -> tuple[GymnaxState, TimeStep]:
        """A state whose types are those of every other, and what it says."""
        state = jax.tree.map(lambda like, x: jnp.asarray(x, like.dtype), self._first, state)
        obs = spaces.vector(self._observed, obs if self._entry is None else obs[self._entry])
        timestep = TimeStep(obs, jnp.asarray(reward, float), jnp.asarray(terminated, bool))
        return GymnaxState(state, jax.random.key_data(key)), timestep


def make(name: str, physics: str, horizon: int | None, split: str) -> GymnaxEnv:
    """Builds an environment of gymnax; ConfigError where a physics backend is asked for, since there is none to choose."""
    gymnax = import_package("gymnax", "gymnax", name)
    which, draw, _ = parse(name)
    lookup(which, dict.fromkeys(gymnax.registered_envs), "environment of gymnax")
    if physics != "auto":
        raise ConfigError(f"{name!r} has no physics: leave the physics backend at 'auto' instead of {physics!r}.")
    env, params = gymnax.make(which)
    return GymnaxEnv(name, env, params.replace(max_steps_in_episode=horizon or params.max_steps_in_episode), draw)
