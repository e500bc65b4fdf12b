"""Reptile (Nichol et al. 2018, arXiv:1803.02999): move towards where adaptation leads, without differentiating it."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from ..errors import ConfigError
from ..learning.optim import OptimizerConfig, apply_gradients, init_run_state, make_optimizer
from ..policies import PolicyConfig, make_policy
from ..types import Algorithm, Kept, Key, MetaEnv, Metrics, RunState, Suite
from .inner_loop import InnerLoop, InnerLoopConfig, Trial
from .meta_learner import make_meta_learner


@dataclasses.dataclass(frozen=True)
class ReptileConfig:
    """Knobs of Reptile."""

    name: ClassVar[str] = "reptile"

    num_tasks: int = 20
    """Tasks per meta-iteration."""
    envs_per_task: int = 10
    """Episodes of each task in each round: before each inner step and after the last."""
    inner: InnerLoopConfig = InnerLoopConfig(steps=3)
    """Adaptation to one task."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Outer optimiser; its gradient is the mean way back from the adapted parameters."""

    def __post_init__(self):
        if min(self.num_tasks, self.envs_per_task) < 1:
            raise ConfigError("num_tasks and envs_per_task must be at least 1.")
        if self.inner.learn_lr:
            raise ConfigError("reptile has no gradient for step sizes: set inner.learn_lr to False, or use maml-ppo.")
        if self.inner.remat:
            raise ConfigError("reptile keeps nothing of the inner steps: set inner.remat to False.")


def make(config: ReptileConfig, env: MetaEnv | Suite, policy_config: PolicyConfig, iterations: int) -> Algorithm:
    """Builds the algorithm for a run of `iterations`."""
    policy = make_policy(policy_config, env.spec)
    inner = InnerLoop(config.inner, env, policy, first_order=True)
    optimizer = make_optimizer(config.optimizer, iterations)

    def init(key: Key) -> RunState:
        return init_run_state(inner.init(key), optimizer, policy.init_stats(), Kept())

    def update(state: RunState, trial: Trial, key: Key) -> tuple[RunState, Metrics]:
        grads = jax.tree.map(lambda theta, adapted: theta - adapted.mean(axis=0), state.params["policy"], trial.adapted)
        return apply_gradients(optimizer, state, {"policy": grads}), {
            "outer_grad_norm": optax.tree.norm(grads),
            "entropy": jnp.mean(policy.distribution.entropy(trial.rounds[0].dist_tm1)),
        }

    return make_meta_learner(inner, (config.num_tasks, config.envs_per_task), init, update)
