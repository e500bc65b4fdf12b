"""Adapting a policy to a task by policy gradients: what MAML and Reptile share."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from .. import rollout
from ..errors import ConfigError
from ..learning import adaptation, losses, normalize, returns
from ..policies import Policy, make_act
from ..types import Array, Key, MetaEnv, Params, RunState, Suite, Task, Transition
from .ppo_update import Batch


@dataclasses.dataclass(frozen=True)
class InnerLoopConfig:
    """How a policy adapts to one task."""

    steps: int = 1
    """Gradient steps K; each takes fresh episodes of the policy so far."""
    lr: float = 0.1
    """Step size."""
    learn_lr: bool = False
    """Learn one step size per parameter, starting from `lr` (Meta-SGD)."""
    surrogate: Literal["ratio", "log_prob"] = "ratio"
    """Policy-gradient loss: `ratio` has the return's curvature at low variance (ProMP); `log_prob`, as MAML was published, has
    the same gradient and no curvature in expectation, so that second order with it is little more than first order."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 1.0
    """Exponential weight of generalised advantage estimation."""
    remat: bool = False
    """Compute each step again for the gradient through it, instead of keeping its activations: less memory, more time."""

    def __post_init__(self):
        if self.steps < 1:
            raise ConfigError(f"inner.steps must be at least 1, not {self.steps}.")
        if not 0.0 < self.lr < float("inf"):
            raise ConfigError(f"inner.lr must be positive and finite, not {self.lr}.")
        returns.check_discounts(self.gamma, self.gae_lambda, "inner.")


class Trial(NamedTuple):
    """What N tasks gave: K rounds of support, then the query round, and the transitions behind them."""

    support: list[Batch]  # K batches, `[N, B, ...]` with B = E * T, advantages standardised over each task
    query: Batch
    rounds: list[Transition]  # the K + 1 rounds, `[N, E, T]` each
    adapted: Params  # leaves `[N, ...]`
    grad_norm: Array  # []: of the inner gradients


class InnerLoop:
    """The inner loop for one environment, policy and configuration; all methods are pure."""

    def __init__(self, config: InnerLoopConfig, env: MetaEnv | Suite, policy: Policy, first_order: bool):
        self.config, self.env, self.policy = config, env, policy
        self._first_order = first_order

    def init(self, key: Key) -> Params:
        """Meta-parameters: the policy's, and the logarithms of the step sizes where these are learned."""
        policy = self.policy.init(key)
        if not self.config.learn_lr:
            return {"policy": policy}
        return {"policy": policy, "log_rate": jax.tree.map(lambda p: jnp.full_like(p, jnp.log(self.config.lr)), policy)}

    def adapt(self, meta: Params, policy_params: Params, batches: Sequence[Batch]) -> tuple[Params, Array]:
        """One task: a gradient step for each batch, from `policy_params`; see `adaptation.adapt`."""
        if self.config.learn_lr:
            rates = jax.tree.map(jnp.exp, meta["log_rate"])
        else:
            rates = jax.tree.map(lambda _: self.config.lr, policy_params)
        return adaptation.adapt(self._loss, policy_params, rates, batches, self._first_order, self.config.remat)

    def run_trial(self, meta: Params, stats: normalize.Stats, tasks: Task, key: Key, shape: tuple[int, int]) -> Trial:
        """Adapts to `shape` = (N, E) tasks and environments: collect, step, ..., collect."""
        params, axis = meta["policy"], None  # one policy for all tasks, until they adapt
        support, rounds, norms = [], [], []
        keys = jax.random.split(key, self.config.steps + 1)
        for key_round in keys:
            transitions = self._run_episodes(params, axis, stats, tasks, key_round, shape)
            batch = jax.vmap(self.prepare, in_axes=(None, 0))(stats, transitions)
            rounds.append(transitions)
            support.append(batch)
            if len(support) <= self.config.steps:
                step = jax.vmap(lambda p, b: self.adapt(meta, p, [b]), in_axes=(axis, 0))
                (params, norm), axis = step(params, batch), 0
                norms.append(norm)
        *support, query = support
        return Trial(support, query, rounds, params, jnp.mean(jnp.stack(norms)))

    def env_steps_per_trial(self, shape: tuple[int, int]) -> int:
        """Environment steps of `run_trial`."""
        return shape[0] * shape[1] * self.env.spec.horizon * (self.config.steps + 1)

    def adapt_tasks(self, state: RunState, params: Params, transitions: Transition) -> Params:
        """`Algorithm.adapt`: one gradient step for each of N policies."""
        batches = jax.vmap(self.prepare, in_axes=(None, 0))(state.obs_stats, transitions)
        return jax.vmap(lambda p, b: self.adapt(state.params, p, [b])[0])(params, batches)

    def prepare(self, stats: normalize.Stats, transitions: Transition) -> Batch:
        """Experience of one task, `[E, T]`, with advantages from a linear baseline fitted to that task."""
        t = transitions
        advantage = returns.baseline_advantages(t, self.config.gamma, self.config.gae_lambda)
        action, dist, log_prob, advantage = jax.tree.map(
            self.policy.arrange, (t.action_tm1, t.dist_tm1, t.log_prob_tm1, advantage)
        )
        return Batch(self.policy.context(stats, t), action, dist, log_prob, losses.standardise(advantage))

    def _loss(self, params: Params, batch: Batch) -> Array:
        log_prob = self.policy.distribution.log_prob(self.policy.dist(params, batch.context), batch.action)
        return losses.SURROGATES[self.config.surrogate](log_prob, batch.log_prob, batch.advantage)

    def _run_episodes(self, params, axis, stats, tasks, key, shape) -> Transition:
        """One episode per environment (more where they terminate early)."""
        act = make_act(self.policy, stats, params, axis)
        history = rollout.no_history(self.env.spec, shape, self.policy.init_carry(shape))
        return rollout.run_episodes(self.env, act, tasks, key, shape, history)[1]
