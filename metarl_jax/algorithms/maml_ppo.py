"""MAML (arXiv:1703.03400) with a PPO outer loop, as in ProMP (arXiv:1810.06784): second- or first-order."""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp

from .. import sharding
from ..errors import ConfigError
from ..learning.optim import OptimizerConfig, init_run_state, make_optimizer
from ..policies import PolicyConfig, make_policy
from ..types import Algorithm, Array, Key, MetaEnv, Metrics, Params, RunState, Suite
from .inner_loop import InnerLoop, InnerLoopConfig, Trial
from .meta_learner import check_meta_gradient, check_task_chunks, default_task_chunks, make_meta_learner
from .ppo_update import Batch, PpoUpdateConfig, Weights, init_kept, mean_gradient, mean_metrics, policy_loss, run_epochs


@dataclasses.dataclass(frozen=True)
class MamlPpoConfig:
    """Knobs of MAML-PPO."""

    name: ClassVar[str] = "maml-ppo"

    num_tasks: int = 20
    """Tasks per meta-iteration."""
    envs_per_task: int = 10
    """Episodes of each task in each round: before each inner step and after the last."""
    inner: InnerLoopConfig = InnerLoopConfig()
    """Adaptation to one task."""
    first_order: bool = False
    """FOMAML: take the inner gradient as a constant."""
    inner_kl_coef: float = 0.0
    """Weight of KL(old || new) of the policies before adaptation (ProMP's penalty)."""
    task_chunks: int | None = None
    """Parts of a device's share of a minibatch of tasks whose meta-gradients are taken one after the other: as many times less
    memory for them, and the same mean. What is sampled, and the adaptation that samples, is of all tasks at once nevertheless.
    None: on CPU parts of at most 4 tasks per device, which stay in the caches; elsewhere one part."""
    update: PpoUpdateConfig = PpoUpdateConfig(clip=0.3)
    """Outer update."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Outer optimiser."""

    def __post_init__(self):
        check_meta_gradient(self)
        if not 0.0 <= self.inner_kl_coef < float("inf"):
            raise ConfigError(f"inner_kl_coef must be finite and >= 0, not {self.inner_kl_coef}.")
        self.update.check_divides(self.num_tasks, "tasks (num_tasks)")
        check_task_chunks("minibatches", self.num_tasks // self.update.minibatches, self.task_chunks)


def make(config: MamlPpoConfig, env: MetaEnv | Suite, policy_config: PolicyConfig, iterations: int) -> Algorithm:
    """Builds the algorithm for a run of `iterations`."""
    policy = make_policy(policy_config, env.spec)
    inner = InnerLoop(config.inner, env, policy, config.first_order)
    optimizer = make_optimizer(config.optimizer, iterations * config.update.epochs * config.update.minibatches)
    minibatch = config.num_tasks // config.update.minibatches

    def init(key: Key) -> RunState:
        return init_run_state(inner.init(key), optimizer, policy.init_stats(), init_kept(config.update))

    def update(state: RunState, trial: Trial, key: Key) -> tuple[RunState, Metrics]:
        chunks = config.task_chunks or default_task_chunks(minibatch, sharding.task_devices())

        def loss(meta: Params, rows: tuple[list[Batch], Batch], weights: Weights) -> tuple[Array, Metrics]:
            return meta_loss(meta, inner, config, *rows, weights)

        gradient = functools.partial(mean_gradient, loss, chunks=chunks)
        return run_epochs(config.update, gradient, (trial.support, trial.query), optimizer, state, key, iterations)

    return make_meta_learner(inner, (config.num_tasks, config.envs_per_task), init, update)


def meta_loss(
    meta: Params, inner: InnerLoop, config: MamlPpoConfig, support: list[Batch], query: Batch, weights: Weights
) -> tuple[Array, Metrics]:
    """PPO's loss of the adapted policies, as a function of the meta-parameters from which they were adapted.

    Args:
      meta: meta-parameters (`InnerLoop.init`).
      inner: the inner loop to differentiate through.
      config: see there.
      support: K batches of `[N, B, ...]`, which adapt the policies.
      query: `[N, B, ...]`, gathered by the policies adapted from the meta-parameters of the sampling time.
      weights: of the loss's terms.

    Returns:
      Mean loss over tasks, `[]`, and its parts.
    """
    policy = inner.policy

    def task_loss(support: list[Batch], query: Batch) -> tuple[Array, Metrics]:
        adapted, _ = inner.adapt(meta, meta["policy"], support)
        loss, parts = policy_loss(policy, adapted, query, config.update.clip, weights)
        if config.inner_kl_coef:
            start = policy.dist(meta["policy"], support[0].context)
            loss += config.inner_kl_coef * jnp.mean(policy.distribution.kl(support[0].dist, start))
        return loss, parts

    loss, parts = jax.vmap(task_loss)(support, query)
    return loss.mean(), mean_metrics(parts)
