"""A trained run as an agent that the package's evaluation functions drive."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from metaworld.evaluation import Timestep

from ...rollout import Act, ActionSample, no_history
from ...types import Algorithm, EnvSpec, History, Key, RunState, Transition


class RunAgent:
    """`metaworld.evaluation.MetaLearningAgent`, and so `Agent`: one policy for each of N environments.

    What it knows of a task is in the parameters, which `adapt` changes, and in the memory where the policy has one. A memory
    lives on through adaptation episodes where the algorithm keeps histories (RL^2); every evaluation episode begins with what it
    held at `adapt`. There the reward before is in the observation (`host.Wrapping.recurrent`).

    Args:
      algorithm: of the run.
      spec: of the environment it was trained on.
      state: of the run.
      labels: `[N, L]`, appended to observations; L = 0 where the run knows no labels.
      key: of the actions.
      judged_act: where given, makes of the policies that adapt those of `eval_action` (see `policies.make_judged_act`).
    """

    def __init__(
        self,
        algorithm: Algorithm,
        spec: EnvSpec,
        state: RunState,
        labels: np.ndarray,
        key: Key,
        judged_act: Callable[[Act], Act] | None = None,
    ):
        def compiled(choose: Callable[[Act], Act]) -> Callable:
            def act(params, obs, history, count):
                history = jax.tree.map(lambda x: x[:, None], history)
                chosen = choose(algorithm.act(state, params))(obs[:, None], history, jax.random.fold_in(key, count))
                return jax.tree.map(lambda x: x[:, 0], chosen)

            return jax.jit(act)

        self._act = compiled(lambda act: act)
        self._judged_act = self._act if judged_act is None else compiled(judged_act)
        self._adapt = jax.jit(lambda params, transitions: algorithm.adapt(state, params, transitions))
        count = len(labels)
        nothing = no_history(spec, (count, 1), algorithm.init_carry((count, 1)))
        self._nothing = jax.tree.map(lambda x: np.asarray(x[:, 0]), nothing)
        self._start = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), algorithm.policy_params(state))
        self._keeps_history, self._obs_dim = algorithm.keeps_history, spec.obs_dim - labels.shape[1]
        self._labels, self._draws = labels, itertools.count()
        self.init()

    def init(self) -> None:
        """Forgets the tasks: the meta-trained policy everywhere."""
        self.params = self._start
        self._history = self._adapted_history = self._nothing
        self._experience: list[Timestep] = []
        self.reset(np.ones(len(self._labels), bool))

    def adapt_action(self, observations: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """Draws actions, `[N, action_dim]`; with them what `step` must know of the draw (`ActionSample`, and the memory)."""
        carry, drawn = self._draw(self._act, observations, self._history)
        return drawn.action, {"carry": carry, **drawn._asdict()}

    def step(self, timestep: Timestep) -> None:
        """Takes note of a step: for `adapt`, and in the memory."""
        outputs = dict(timestep.aux_policy_outputs)
        last = timestep.terminated | timestep.truncated
        self._history = History(outputs.pop("carry"), outputs["raw"], timestep.reward.astype(np.float32), last)
        if not self._keeps_history:
            self._history = _where(last, self._nothing, self._history)
        obs = self._labelled(timestep.observation)
        self._experience.append(timestep._replace(observation=obs, aux_policy_outputs=outputs))

    def adapt(self) -> None:
        """One adaptation step of the algorithm, on all that was noted since the last; compiles for each new number of steps."""
        self.params = self._adapt(self.params, transitions(self._experience))
        self._adapted_history = self._history
        self._experience = []

    def eval_action(self, observations: np.ndarray) -> np.ndarray:
        """Actions, `[N, action_dim]`."""
        history = self._eval_history
        if jax.tree.leaves(history.carry):
            reward = observations[:, -2].astype(np.float32)  # see RNNBasedMetaRLWrapper of the package
            history = history._replace(reward=np.where(self._fresh, history.reward, reward))
        carry, drawn = self._draw(self._judged_act, observations, history)
        self._eval_history = History(carry, drawn.raw, np.zeros_like(history.reward), np.zeros_like(history.last))
        self._fresh = np.zeros_like(self._fresh)
        return drawn.action

    def reset(self, env_mask: np.ndarray) -> None:
        """Evaluation episodes of the environments `env_mask` begin anew, with what was known after adaptation."""
        if env_mask.all():
            self._eval_history, self._fresh = self._adapted_history, env_mask
        elif env_mask.any():
            self._eval_history = _where(env_mask, self._adapted_history, self._eval_history)
            self._fresh = self._fresh | env_mask

    def _draw(self, act: Callable, observations: np.ndarray, history: History) -> tuple[Any, ActionSample]:
        return jax.device_get(act(self.params, self._labelled(observations), history, next(self._draws)))

    def _labelled(self, observations: np.ndarray) -> np.ndarray:
        return np.concatenate([observations[:, : self._obs_dim], self._labels], axis=1, dtype=np.float32)


def _where(mask: np.ndarray, tree: History, other: History) -> History:
    """Rows of `tree` where `mask` `[N]`, else of `other`."""
    return jax.tree.map(lambda x, y: np.where(mask.reshape(-1, *(1,) * (x.ndim - 1)), x, y), tree, other)


def transitions(timesteps: Sequence[Timestep]) -> Transition:
    """The E episodes of equal length that N environments went through together, as leaves `[N, E, T]`.

    Auxiliary outputs are those of `RunAgent`. Adaptation hears neither of success nor of the observation that ended an
    episode: `success_t` is False, and `obs_t` nan where `last_t`.

    Raises:
      ValueError: episodes of different lengths, or an unfinished one.
    """
    stacked = jax.tree.map(lambda *x: np.stack(x), *timesteps)
    ends = (stacked.terminated | stacked.truncated).all(axis=1)
    if not ends[-1] or len(ends) % ends.sum() or not ends.reshape(ends.sum(), -1)[:, -1].all():
        raise ValueError("adaptation needs whole episodes of equal length, of all environments together.")
    episodes = jax.tree.map(lambda x: np.moveaxis(x.reshape(ends.sum(), -1, *x.shape[1:]), 2, 0), stacked)
    last, drawn = episodes.terminated | episodes.truncated, episodes.aux_policy_outputs
    reward = episodes.reward.astype(np.float32)

    def shifted(x: np.ndarray) -> np.ndarray:
        """Of the step before; 0 at the beginning of an episode."""
        return np.concatenate([np.zeros_like(x[:, :, :1]), x[:, :, :-1]], axis=2)

    obs_t = np.full_like(episodes.observation, np.nan)
    obs_t[:, :, :-1] = episodes.observation[:, :, 1:]
    batch = Transition(
        obs_tm1=episodes.observation,
        action_tm2=shifted(drawn["raw"]),
        reward_tm1=shifted(reward),
        last_tm1=shifted(last),
        action_tm1=drawn["raw"],
        dist_tm1=drawn["dist"],
        log_prob_tm1=drawn["log_prob"],
        reward_t=reward,
        terminated_t=episodes.terminated,
        last_t=last,
        obs_t=obs_t,
        time_tm1=np.broadcast_to(np.arange(last.shape[2]), last.shape),
        return_t=np.cumsum(episodes.reward, axis=2).astype(np.float32),
        success_t=np.zeros_like(last),
    )
    return jax.tree.map(jnp.asarray, batch)
