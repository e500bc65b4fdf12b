"""An environment of ours behind brax's interface, for trainers that are written to it."""

from typing import Any

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from ... import rollout
from ...errors import ConfigError
from ...types import Array, Key, MetaEnv, Split, Suite, TimeStep
from .. import make


def as_brax(name: str, *, physics: str = "auto", horizon: int | None = None, split: Split = "train") -> "BraxEnv":
    """An environment as `brax.envs.Env`; see `BraxEnv`.

    Args:
      name: see `metarl_jax.envs.make`, as for `physics`, `horizon` and `split`.
      physics: see there.
      horizon: see there.
      split: see there.

    Raises:
      ConfigError: unknown name or backend, a suite, or discrete actions, which brax does not have.
    """
    env = make(name, physics=physics, horizon=horizon, split=split)
    if isinstance(env, Suite):
        raise ConfigError(f"{name!r} is a suite, and an environment of brax is a single one: name one of its tasks.")
    if env.spec.discrete:
        raise ConfigError(f"{name!r} has discrete actions, and brax has none: take another environment.")
    return BraxEnv(env, physics)


class BraxEnv(Env):
    """Pure functions `reset(rng)` and `step(state, action)`, which brax's wrappers vmap.

    A reset draws a task, which is in `state.info["task"]`. Actions lie in [-1, 1] there, which stands for the environment's own
    bounds. There is no time limit: brax's `EpisodeWrapper` has it (`wrap(env, episode_length=env.horizon)`). Metrics are what
    the environment says of a step. A simulation that blows up ends the episode.
    """

    def __init__(self, env: MetaEnv, physics: str = "auto"):
        self._env, self._physics, self.horizon = env, physics, env.spec.horizon
        low, high = jnp.array(env.spec.action_low), jnp.array(env.spec.action_high)
        bounded = jnp.isfinite(low) & jnp.isfinite(high)
        self._middle = jnp.where(bounded, (low + high) / 2, 0.0)
        self._half = jnp.where(bounded, (high - low) / 2, 1.0)

    def reset(self, rng: Key) -> State:
        """The first state of an episode of a fresh task."""
        # brax's own keys are of the older kind, numbers whose last axis its wrappers count on.
        key = rng if jnp.issubdtype(rng.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(rng)
        key_task, key_reset = jax.random.split(key)
        task = self._env.sample_task(key_task)
        return self._state(*self._env.reset(key_reset, task), {"task": task})

    def step(self, state: State, action: Array) -> State:
        """The state after `action`, `[action_size]`."""
        task = state.info["task"]
        action = self._middle + self._half * jnp.clip(action, -1.0, 1.0)
        env_state, timestep = self._env.step(state.pipeline_state, action, task)
        return self._state(env_state, rollout.without_garbage(timestep, state.obs), state.info)

    @property
    def observation_size(self) -> int:
        return self._env.spec.obs_dim

    @property
    def action_size(self) -> int:
        return self._env.spec.action_dim

    @property
    def backend(self) -> str:
        return self._physics

    def _state(self, env_state: Any, timestep: TimeStep, info: dict[str, Any]) -> State:
        done = timestep.terminated if timestep.unstable is None else timestep.terminated | timestep.unstable
        return State(env_state, timestep.obs, timestep.reward, done.astype(float), dict(timestep.info), info)
