"""Environments of brax, and of packages with its interface: `brax/NAME`, `brax/NAME/tasks=MODULE:FUNCTION`."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ...errors import ConfigError, lookup
from ...types import Array, EnvSpec, Key, Task, TimeStep
from ..task_sets import single_task
from . import check_draws, import_package, parse

HORIZON = 1000  # as in `brax.envs.create`
BACKENDS = ("generalized", "spring", "positional", "mjx")

# What brax and playground call a domain randomiser: (model, keys [n]) -> the model with n of each leaf that is random, and a
# tree like the model's that holds 0 for these leaves and None for the others.
Randomize = Callable[[Any, Key], tuple[Any, Any]]


class BraxEnv:
    """See `MetaEnv`: `reset(key) -> State` and `step(State, action) -> State` of a raw environment, under no wrapper.

    The state is the package's own. Actions lie in [-1, 1], as brax's and playground's policies give them; where an actuator
    has another range, the environment scales them.

    Args:
      name: of the spec.
      env: of brax's interface. Of several observations, the one called "state" is taken.
      horizon: steps per episode.
      randomize: draws tasks; None where there is a single one. A task is a dictionary of the leaves of the model that it
        changes, by their paths.
      model: the attribute of `env` that holds the parameters of its physics.

    Raises:
      ConfigError: observations that are no vector, no such attribute, or a function that cannot draw tasks.
    """

    def __init__(self, name: str, env: Any, horizon: int, randomize: Randomize | None = None, model: str = "sys"):
        if randomize is not None and not hasattr(env, model):
            raise ConfigError(f"{name!r} has no physics whose parameters could be drawn: leave 'tasks' out.")
        self._env, self._randomize, self._model = env, randomize, model
        self.tasks = jnp.asarray(single_task.tasks) if randomize is None else None
        if randomize is not None:
            check_draws(self.sample_task, name, "(model, keys [n]) -> (models, axes), a domain randomiser")
        self._first = jax.eval_shape(env.reset, jax.random.key(0))
        self.spec = EnvSpec(
            name=name,
            obs_dim=_observation_size(self._first.obs, name),
            action_dim=env.action_size,
            horizon=horizon,
            action_low=(-1.0,) * env.action_size,
            action_high=(1.0,) * env.action_size,
        )

    def sample_task(self, key: Key) -> Task:
        if self._randomize is None:
            return single_task(key)
        models, axes = self._randomize(getattr(self._env, self._model), key[None])
        axes = jax.tree.leaves(jax.tree.broadcast(axes, models, is_leaf=_is_none), is_leaf=_is_none)
        leaves = jax.tree.leaves_with_path(models)
        return {
            jax.tree_util.keystr(path): jnp.take(leaf, 0, axis)
            for (path, leaf), axis in zip(leaves, axes, strict=True)
            if axis is not None
        }

    def reset(self, key: Key, task: Task) -> tuple[Any, TimeStep]:
        return self._answer(self._under(task).reset(key))

    def step(self, state: Any, action: Array, task: Task) -> tuple[Any, TimeStep]:
        state = jax.tree.map(lambda x: x, state)  # the package writes into dictionaries of the state before
        return self._answer(self._under(task).step(state, action))

    def _under(self, task: Task) -> Any:
        """The environment, its physics with the parameters of the task."""
        if self._randomize is None:
            return self._env
        env, model = copy.copy(self._env), getattr(self._env, self._model)
        changed = jax.tree.map_with_path(lambda path, leaf: task.get(jax.tree_util.keystr(path), leaf), model)
        setattr(env, self._model, changed)
        return env

    def _answer(self, state: Any) -> tuple[Any, TimeStep]:
        """A state whose types are those of every other, and what it says."""
        state = jax.tree.map(lambda like, x: jnp.asarray(x, like.dtype), self._first, state)
        obs = state.obs["state"] if isinstance(state.obs, Mapping) else state.obs
        # A simulation that blows up shows in what is not a number, which rollouts look for where there may be such.
        unstable = jnp.array(False)
        return state, TimeStep(obs, state.reward, state.done > 0, dict(state.metrics), unstable)


def _observation_size(obs: Any, name: str) -> int:
    """Of observations of that shape; ConfigError where there is no vector among them."""
    if isinstance(obs, Mapping):
        if "state" not in obs:
            raise ConfigError(
                f"{name!r} has the observations {', '.join(map(repr, obs))}, and none that is called 'state', which would be "
                "taken: wrap it in an environment with one vector."
            )
        obs = obs["state"]
    if len(obs.shape) != 1:
        raise ConfigError(f"{name!r} has observations of shape {obs.shape}: only vectors can be learned from.")
    return obs.shape[0]


def _is_none(x: Any) -> bool:
    return x is None


def make(name: str, physics: str, horizon: int | None, split: str) -> BraxEnv:
    """Builds an environment of brax; `physics` is "auto", the environment's own choice, or one of brax's backends."""
    envs = import_package("brax.envs", "brax", name)
    which, draw, _ = parse(name)
    make_env = lookup(which, envs._envs, "environment of brax")
    if physics not in ("auto", *BACKENDS):
        raise ConfigError(
            f"{name!r} runs on brax's own backends, not on {physics!r}: take auto, {', '.join(BACKENDS)}."
        )
    env = make_env(**({} if physics == "auto" else {"backend": physics}))
    return BraxEnv(name, env, horizon or HORIZON, draw)
