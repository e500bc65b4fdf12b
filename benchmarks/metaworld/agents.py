"""A trained run as an agent that the package's evaluation functions drive."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from metaworld.evaluation import Timestep

from ...distributions import Distribution
from ...errors import ConfigError
from ...types import Algorithm, History, Key, RunState, Transition

ACTIONS = 4  # numbers in an action


class RunAgent:
    """`metaworld.evaluation.MetaLearningAgent`, and so `Agent`: one policy for each of N environments.

    Policies without memory: what they know of a task is in their parameters, which `adapt` changes. Hence `reset`, where an
    agent with memory would forget at the end of an episode, has nothing to do.

    Args:
      algorithm: of the run.
      state: of the run.
      labels: `[N, L]`, appended to observations; L = 0 where the run knows no labels.
      key: of the actions.
      mode_of: where given, `eval_action` takes the most likely action of this action distribution instead of a draw.
    """

    def __init__(
        self, algorithm: Algorithm, state: RunState, labels: np.ndarray, key: Key, mode_of: Distribution | None = None
    ):
        if jax.tree.leaves(algorithm.init_carry((1, 1))):
            raise ConfigError(
                "policies with a memory cannot be judged on the package: it hides rewards from evaluation."
            )
        # What a policy without memory does not look at.
        history = History((), jnp.zeros((len(labels), 1, ACTIONS)), *jnp.zeros((2, len(labels), 1)))

        def sample(params, obs, count):
            _, drawn = algorithm.act(state, params)(obs[:, None], history, jax.random.fold_in(key, count))
            return jax.tree.map(lambda x: x[:, 0], drawn)

        def act(params, obs, count):
            drawn = sample(params, obs, count)
            return drawn.action if mode_of is None else mode_of.to_env(drawn.dist.mean)

        self._sample, self._act = jax.jit(sample), jax.jit(act)
        self._adapt = jax.jit(lambda params, transitions: algorithm.adapt(state, params, transitions))
        start = algorithm.policy_params(state)
        self._start = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(labels), *x.shape)), start)
        self._labels, self._draws = labels, itertools.count()
        self.init()

    def init(self) -> None:
        """Forgets the tasks: the meta-trained policy everywhere."""
        self.params = self._start
        self._experience: list[Timestep] = []

    def adapt_action(self, observations: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """Draws actions, `[N, action_dim]`; with them what adaptation must know of the draw (`ActionSample`)."""
        drawn = jax.device_get(self._sample(self.params, self._labelled(observations), next(self._draws)))
        return drawn.action, drawn._asdict()

    def step(self, timestep: Timestep) -> None:
        """Takes note of a step for `adapt`."""
        self._experience.append(timestep._replace(observation=self._labelled(timestep.observation)))

    def adapt(self) -> None:
        """One adaptation step of the algorithm, on all that was noted since the last; compiles for each new number of steps."""
        self.params = self._adapt(self.params, transitions(self._experience))
        self._experience = []

    def eval_action(self, observations: np.ndarray) -> np.ndarray:
        """Actions, `[N, action_dim]`."""
        return np.asarray(self._act(self.params, self._labelled(observations), next(self._draws)))

    def reset(self, env_mask: np.ndarray) -> None:
        """See the class."""

    def _labelled(self, observations: np.ndarray) -> np.ndarray:
        return np.concatenate([observations, self._labels], axis=1, dtype=np.float32)


def transitions(timesteps: Sequence[Timestep]) -> Transition:
    """What N environments went through in T steps, with auxiliary outputs of `RunAgent`, as leaves `[N, 1, T, ...]`.

    Episodes stand one after the other. Adaptation hears neither of success nor of the observation that ended an episode:
    `success_t` is False, and `obs_t` nan where `last_t`, as in the last step.
    """
    stacked = jax.tree.map(lambda *x: np.stack(x), *timesteps)
    last = stacked.terminated | stacked.truncated
    time, total = np.zeros(last.shape, int), np.zeros(last.shape)
    for t, reward in enumerate(stacked.reward):
        goes_on = ~last[t - 1] if t else False
        time[t] = np.where(goes_on, time[t - 1] + 1, 0)
        total[t] = reward + np.where(goes_on, total[t - 1], 0.0)
    obs_t = np.roll(stacked.observation, -1, axis=0)
    obs_t[-1] = np.nan
    drawn = stacked.aux_policy_outputs
    before = [np.concatenate([np.zeros_like(x[:1]), x[:-1]]) for x in (drawn["raw"], stacked.reward, last)]
    batch = Transition(
        obs_tm1=stacked.observation,
        action_tm2=before[0],
        reward_tm1=before[1].astype(np.float32),
        last_tm1=before[2],
        action_tm1=drawn["raw"],
        dist_tm1=drawn["dist"],
        log_prob_tm1=drawn["log_prob"],
        reward_t=stacked.reward.astype(np.float32),
        terminated_t=stacked.terminated,
        last_t=last,
        obs_t=np.where(last[..., None], np.nan, obs_t),
        time_tm1=time,
        return_t=total.astype(np.float32),
        success_t=np.zeros_like(last),
    )
    return jax.tree.map(lambda x: jnp.asarray(np.moveaxis(x, 0, 1)[:, None]), batch)
