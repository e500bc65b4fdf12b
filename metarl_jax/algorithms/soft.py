"""What soft actor-critics share: losses of critics, policy and temperature (arXiv:1801.01290, arXiv:1812.05905)."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..errors import ConfigError
from ..learning.distributions import Gaussian
from ..learning.optim import OptimizerConfig, apply_gradients, make_optimizer
from ..policies import Policy, PolicyConfig
from ..types import Array, EnvSpec, Kept, Key, MetaEnv, Metrics, Params, RunState, Suite
from .off_policy import Batch
from .q_critic import QCritic, QCriticConfig


@dataclasses.dataclass(frozen=True)
class TemperatureConfig:
    """The weight of the entropy, learned so that the entropy keeps to a target."""

    init: float = 1.0
    """At the start."""
    per_task: bool = False
    """One for each task, of a suite for each of its environments, not one for all."""
    target_entropy: float = -1.0
    """Per dimension of the action, as if actions were bounded by +-1."""
    lr: float = 3e-4
    """Learning rate."""

    def __post_init__(self):
        if not (0.0 < self.init < float("inf") and 0.0 < self.lr < float("inf")):
            raise ConfigError("temperature.init and temperature.lr must be positive and finite.")


@dataclasses.dataclass(frozen=True)
class SoftConfig:
    """Knobs of every soft actor-critic."""

    gamma: float = 0.99
    """Discount."""
    tau: float = 0.005
    """Weight of the new critic in the target's running mean."""
    critic: QCriticConfig = QCriticConfig()
    """What predicts the return of an action."""
    temperature: TemperatureConfig = TemperatureConfig()
    """Weight of the entropy."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-4, max_grad_norm=float("inf"))
    """Optimiser of each part of the parameters, on its own."""
    num_tasks: int = 1
    """Tasks, drawn once at the start and kept."""
    capacity: int = 1_000_000
    """Steps kept of all tasks together; rounded up to whole iterations."""
    checkpoint_replay: bool = True
    """Whether checkpoints hold what is kept, so that a resumed run goes on bit for bit; without, it fills it anew first."""

    def __post_init__(self):
        if min(self.num_tasks, self.capacity) < 1:
            raise ConfigError("num_tasks and capacity must be at least 1.")
        if not (0.0 <= self.gamma < 1.0 and 0.0 < self.tau <= 1.0):
            raise ConfigError("gamma must lie in [0, 1), tau in (0, 1].")

    def slots(self, steps: int) -> int:
        """Of each task's replay: whole iterations of `steps` of each task."""
        return -(-self.capacity // (self.num_tasks * steps)) * steps


def check_policy(name: str, config: PolicyConfig, spec: EnvSpec) -> None:
    """ConfigError where a policy is not one that the algorithm of this name can learn."""
    if spec.discrete:
        raise ConfigError(
            f"{name} needs continuous actions, and those of {spec.name!r} are discrete: use --algorithm rl2."
        )
    if config.memory.name != "none":
        raise ConfigError(f"{name} takes its steps out of their order, which a memory needs: use --algorithm rl2.")
    if config.distribution != "tanh-gaussian":
        raise ConfigError(
            f"{name} needs actions with bounds that it can differentiate: set policy.distribution to tanh-gaussian."
        )


def make_optimizers(config: SoftConfig, updates: int, delay: int = 1) -> dict[str, optax.GradientTransformation]:
    """By part of the parameters, for a run of so many updates of the critics, and of the rest at every `delay`-th."""
    return {
        "policy": make_optimizer(config.optimizer, updates // delay),
        "critic": make_optimizer(config.optimizer, updates),
        "log_alpha": optax.adam(config.temperature.lr),
    }


def acting(params: Params) -> Params:
    """The policy's parameters, with what the critics have learned of labels."""
    return params["policy"] | {"vectors": params["critic"]["vectors"]}


class Soft(NamedTuple):
    """What the entropy has to do with: actions bounded by +-1, and their densities as such."""

    sample: Callable[[Params, Array, Key], tuple[Array, Array]]  # obs [B, obs_dim] -> actions, log-probabilities [B]
    alpha: Callable[[Params, Array], Array]  # task [B] -> temperature [B]
    target_entropy: float
    num_kinds: int  # of tasks: a suite's environments, else each task is one of its own


def make_soft(config: SoftConfig, env: MetaEnv | Suite, policy: Policy) -> Soft:
    """See `Soft`."""
    low, high = np.array(env.spec.action_low), np.array(env.spec.action_high)
    log_scale = float(np.log((high - low) / 2.0).sum())
    num_kinds = len(env.envs) if isinstance(env, Suite) else config.num_tasks

    def sample(params: Params, obs: Array, key: Key) -> tuple[Array, Array]:
        dist: Gaussian = policy.head(params, obs)
        raw = policy.distribution.sample(key, dist)
        return jnp.tanh(raw), policy.distribution.log_prob(dist, raw) + log_scale

    def alpha(params: Params, task: Array) -> Array:
        kind = task // (config.num_tasks // num_kinds)
        return jnp.exp(params["log_alpha"])[kind if config.temperature.per_task else jnp.zeros_like(kind)]

    return Soft(sample, alpha, config.temperature.target_entropy * env.spec.action_dim, num_kinds)


def init_log_alpha(config: SoftConfig, soft: Soft) -> Array:
    """Logarithms of the temperatures at the start, `[num_kinds]` or `[1]`."""
    return jnp.full(soft.num_kinds if config.temperature.per_task else 1, np.log(config.temperature.init))


def make_descend(config: SoftConfig, optimizer: optax.GradientTransformation, loss: Callable) -> Callable:
    """A gradient step of some parts of a learner's parameters, and the target's step after them.

    Args:
      config: says how fast targets follow.
      optimizer: `by_part`.
      loss: of the parts that move, the learner, and what else there is: its value and metrics.

    Returns:
      `(learner, moving, *what else there is) -> (learner, metrics)`.
    """

    def descend(learner: RunState, moving: Params, *args: Any) -> tuple[RunState, Metrics]:
        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(moving, learner, *args)
        learner = apply_gradients(optimizer, learner, grads)
        target = optax.incremental_update(learner.params["critic"], learner.kept.shared, config.tau)
        metrics |= {"loss": value, "outer_grad_norm": optax.tree.norm(grads), "target_norm": optax.tree.norm(target)}
        return learner._replace(kept=Kept(target)), metrics

    return descend


def unit_of_reward(config: SoftConfig, soft: Soft, params: Params, greatest: Array) -> Array:
    """[N]: that in which the greatest return of a kind, with what entropy adds to it, is `critic.limit` (arXiv:2505.23150).

    `greatest` `[N]` are the tasks' greatest returns.
    """
    entropy = soft.alpha(params, jnp.arange(config.num_tasks)) * abs(soft.target_entropy)
    by_kind = greatest.reshape(soft.num_kinds, -1)
    of_kind = jnp.broadcast_to(by_kind.max(axis=1, keepdims=True), by_kind.shape).ravel()
    return (of_kind + entropy / (1.0 - config.gamma)) / config.critic.limit


def make_loss(critic: QCritic, soft: Soft) -> Callable[[Params, RunState, Batch, Key], tuple[Array, Metrics]]:
    """The loss of `moving` parts of a learner's parameters on a batch, and its terms: the sum of three losses, each of which has
    a gradient in its own part alone. Without the policy among them, that of the critics.
    """

    def loss(moving: Params, learner: RunState, batch: Batch, key: Key) -> tuple[Array, Metrics]:
        params, held = learner.params | moving, jax.lax.stop_gradient(learner.params)
        key_next, key_now = jax.random.split(key)
        rows, alpha = batch.experience, soft.alpha(held, batch.task)
        action, log_prob = soft.sample(acting(held), rows.next_obs, key_next)
        outputs = critic.apply(learner.kept.shared, rows.next_obs, action)
        target = critic.target(outputs, rows.reward, rows.discount, -alpha * log_prob)
        outputs = critic.apply(params["critic"], rows.obs, rows.action)
        critic_loss = critic.loss(outputs, jax.lax.stop_gradient(target))
        q, believed = critic.value(outputs), critic.expect(target)
        metrics = {"critic_loss": critic_loss, "q": q.mean(), "td_error": jnp.abs(q - believed).mean()}
        if "policy" not in moving:
            return critic_loss, metrics
        obs = jax.lax.stop_gradient(rows.obs)  # what is learned of a task there is the critics' to learn
        action, log_prob = soft.sample(acting(params), obs, key_now)
        q = critic.value(critic.apply(held["critic"], obs, action))
        actor_loss = jnp.mean(alpha * log_prob - q)
        surplus = jax.lax.stop_gradient(-log_prob) - soft.target_entropy
        alpha_loss = jnp.mean(soft.alpha(params, batch.task) * surplus)
        metrics |= {"actor_loss": actor_loss, "entropy": -log_prob.mean(), "temperature": alpha.mean()}
        return critic_loss + actor_loss + alpha_loss, metrics

    return loss
