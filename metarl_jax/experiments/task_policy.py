"""An agent in one task, for a loop on the host: it acts, is told what came of it, and adapts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from ..errors import ConfigError, lookup
from ..evaluation import Curve
from ..rollout import ActionSample
from ..types import History, Key, Params, Transition


class Functions(NamedTuple):
    """What policies of an agent are computed by."""

    # (parameters, observation [1, 1, obs_dim], history [1, 1, ...], key, number of the draw) -> carry, sample [1, 1, ...],
    # by `policies.ACTIONS`
    act: dict[str, Callable[..., tuple[Any, ActionSample]]]
    adapt: Callable[[Params, Transition], Params] | None  # None where what is observed changes no parameters
    remembers: bool  # whether a policy must see every step
    obs_dim: int


class TaskPolicy:
    """A policy in one task, and what it has seen of it; of one environment, which whoever holds it steps:

        obs, _ = env.reset()
        for _ in range(200):
            obs, reward, terminated, truncated, _ = env.step(policy.act(obs))
            policy.observe(obs, reward, terminated, truncated)
            if terminated or truncated:
                obs, _ = env.reset()
        policy.adapt()

    A memory must see every step (`observe`), and adapts by that alone. Where parameters adapt, or a belief (MAML, PEARL), what is
    observed is kept for `adapt`, which learns from it: set `learning` to False when it is to adapt no more.
    """

    def __init__(self, functions: Functions, params: Params, history: History, key: Key, curve: Curve | None = None):
        """Begins an episode.

        Args:
          functions: of the agent.
          params: of N = 1 policy.
          history: that it begins with, `[1, 1, ...]`.
          key: of its draws.
          curve: how it did before each adaptation step and after the last, leaves `[K + 1]`; None where it has not adapted.
        """
        self.params, self.curve = params, curve
        self.learning = functions.adapt is not None
        self._functions, self._key, self._draws = functions, key, 0
        self._first = self._history = jax.device_get(history)
        self._acted: tuple[Any, Any, ActionSample] | None = None  # since what was observed last
        self._experience: list[Transition] = []  # since it adapted last
        self._time, self._return = 0, 0.0  # of the episode

    def act(self, obs: Any, actions: str = "sample") -> Any:
        """An action, `[action_dim]` within the environment's bounds, or an integer where actions are discrete.

        Args:
          obs: `[obs_dim]`.
          actions: `sample`, a draw, as in training and as `adapt` wants it, or `mode`, the most likely.

        Raises:
          ConfigError: an observation of another shape; of a policy with a memory, where it has not been told what came of its
            last action.
        """
        if self._functions.remembers and self._acted is not None:
            raise ConfigError(
                "this policy has a memory: tell it by observe() what came of its action before it acts again."
            )
        obs = self._batch(obs)
        act = lookup(actions, self._functions.act, "choice of actions")
        carry, sample = jax.device_get(act(self.params, obs, self._history, self._key, self._draws))
        self._draws += 1
        self._acted = obs, carry, sample
        return sample.action[0, 0]

    def observe(self, obs: Any, reward: float, terminated: bool, truncated: bool = False) -> None:
        """Takes note of what came of the last action, as Gymnasium's `step` returns it.

        Args:
          obs: `[obs_dim]`; at the end of an episode its own last, not the first of the next.
          reward: of the action.
          terminated: whether the task ended the episode.
          truncated: whether a time limit did.

        Raises:
          ConfigError: an observation of another shape, or there has been no action since the last call.
        """
        if self._acted is None:
            raise ConfigError("nothing was done since observe() was called last: act first.")
        obs_t = self._batch(obs)
        (obs_tm1, carry, sample), self._acted = self._acted, None
        last = terminated or truncated
        self._return += float(reward)
        after = History(carry, sample.raw, _one(reward, np.float32), _one(last, bool))
        if self.learning:
            step = Transition(
                obs_tm1=obs_tm1,
                action_tm2=self._history.action,
                reward_tm1=self._history.reward,
                last_tm1=self._history.last,
                action_tm1=sample.raw,
                dist_tm1=sample.dist,
                log_prob_tm1=sample.log_prob,
                reward_t=after.reward,
                terminated_t=_one(terminated, bool),
                last_t=after.last,
                obs_t=obs_t,
                time_tm1=_one(self._time, np.int32),
                return_t=_one(self._return, np.float32),
                success_t=_one(False, bool),
            )
            self._experience.append(step)
        self._history = after
        self._time, self._return = (0, 0.0) if last else (self._time + 1, self._return)

    def adapt(self) -> None:
        """One adaptation step of the algorithm, on the episodes that were observed since the last; compiled for each new length.

        What adapts by its memory, or not at all, stays as it is.

        Raises:
          ConfigError: nothing was observed, or the last episode has not ended.
        """
        if self._functions.adapt is None:
            return
        if not self._experience or not self._experience[-1].last_t.all():
            raise ConfigError("a policy adapts to whole episodes: observe() them to their end first.")
        episodes = jax.tree.map(lambda *x: np.stack(x, axis=2), *self._experience)
        self.params = self._functions.adapt(self.params, episodes)
        self._experience = []
        self._history = self._first

    def _batch(self, obs: Any) -> Any:
        """`[1, 1, obs_dim]`."""
        return checked_obs(obs, self._functions.obs_dim, one=True)[None, None]


def checked_obs(obs: Any, obs_dim: int, one: bool = False) -> np.ndarray:
    """`obs` `[..., obs_dim]` as numbers, `[obs_dim]` where it must be `one`; ConfigError where it is not."""
    obs = np.asarray(obs, np.float32)
    if obs.shape[-1:] != (obs_dim,) or (one and obs.ndim > 1):
        raise ConfigError(f"obs must have the shape [{'' if one else '..., '}{obs_dim}], not {list(obs.shape)}.")
    return obs


def _one(value: Any, dtype: Any) -> Any:
    return np.full((1, 1), value, dtype)
