"""Soft actor-critic (arXiv:1801.01290, arXiv:1812.05905) on a fixed batch of tasks, from replay."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..errors import ConfigError, nearest_multiples
from ..learning.distributions import Gaussian
from ..learning.optim import OptimizerConfig, apply_gradients, by_part, init_run_state, make_optimizer
from ..networks.labels import LabelConfig, make_labelled
from ..policies import Policy, PolicyConfig, make_act, make_policy
from ..rollout import check_num_tasks
from ..types import Adaptation, Algorithm, Array, Kept, Key, MetaEnv, Metrics, Params, RunState, Suite
from .diagnostics import action_metrics, outcome_metrics, unstable_metrics
from .off_policy import Batch, Memory, draw, explore, init_memory, remember, without_replay
from .q_critic import QCritic, QCriticConfig, make_q_critic
from .standing import go_on


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
class SacConfig:
    """Knobs of SAC."""

    name: ClassVar[str] = "sac"

    num_tasks: int = 1
    """Tasks, drawn once at the start and kept."""
    envs_per_task: int = 16
    """Environments of each task."""
    unroll: int = 8
    """Steps of every environment per iteration; episodes go on from one iteration to the next."""
    n_step: int = 1
    """Rewards summed before a value is bootstrapped; at most `unroll`."""
    capacity: int = 1_000_000
    """Steps kept of all tasks together; rounded up to whole iterations."""
    checkpoint_replay: bool = True
    """Whether checkpoints hold what is kept, so that a resumed run goes on bit for bit; without, it fills it anew first."""
    random_steps: int = 5_000
    """Environment steps with uniformly random actions before anything is learned."""
    updates_per_step: float = 1.0 / 16.0
    """Gradient steps for each environment step."""
    batch_size: int = 256
    """Steps in a gradient step: as many of each task, or one of every few that follow each other."""
    gamma: float = 0.99
    """Discount."""
    tau: float = 0.005
    """Weight of the new critic in the target's running mean."""
    actor_delay: int = 1
    """Critic updates for each update of actor and temperature."""
    label: LabelConfig = LabelConfig()
    """Which task it is, where observations say so."""
    critic: QCriticConfig = QCriticConfig()
    """What predicts the return of an action."""
    temperature: TemperatureConfig = TemperatureConfig()
    """Weight of the entropy."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-4, max_grad_norm=float("inf"))
    """Optimiser of actor and of critics, each on its own."""

    def __post_init__(self):
        sizes = (self.num_tasks, self.envs_per_task, self.unroll, self.n_step, self.capacity, self.actor_delay)
        if min(sizes) < 1 or self.random_steps < 0:
            raise ConfigError(
                "num_tasks, envs_per_task, unroll, n_step, capacity and actor_delay must be at least 1, random_steps 0."
            )
        if self.n_step > self.unroll:
            raise ConfigError(f"n_step {self.n_step} is more than the {self.unroll} steps of an unroll.")
        if self.batch_size < 1 or (self.batch_size % self.num_tasks and self.num_tasks % self.batch_size):
            raise ConfigError(
                f"batch_size {self.batch_size} cannot be split evenly over {self.num_tasks} tasks: take "
                f"{nearest_multiples(self.num_tasks, self.batch_size)}, or a divisor."
            )
        if not (0.0 <= self.gamma < 1.0 and 0.0 < self.tau <= 1.0):
            raise ConfigError("gamma must lie in [0, 1), tau in (0, 1].")
        if not 0.0 < self.updates_per_step < float("inf"):
            raise ConfigError(f"updates_per_step must be positive and finite, not {self.updates_per_step}.")
        if not self.num_updates or self.num_updates % self.actor_delay:
            raise ConfigError(
                f"updates_per_step {self.updates_per_step} makes {self.num_updates} updates of {self.env_steps} "
                f"environment steps: it must be a positive multiple of actor_delay {self.actor_delay}."
            )

    @property
    def env_steps(self) -> int:
        """Environment steps per iteration."""
        return self.num_tasks * self.envs_per_task * self.unroll

    @property
    def num_updates(self) -> int:
        """Gradient steps per iteration."""
        return round(self.updates_per_step * self.env_steps)

    @property
    def slots(self) -> int:
        """Of each task's replay: whole iterations."""
        share = self.envs_per_task * self.unroll
        return -(-self.capacity // (self.num_tasks * share)) * share


def make(config: SacConfig, env: MetaEnv | Suite, policy_config: PolicyConfig, iterations: int) -> Algorithm:
    """Builds the algorithm for a run of `iterations`."""
    check_num_tasks(env, config.num_tasks, "algorithm.num_tasks")
    if policy_config.memory.name != "none":
        raise ConfigError("sac takes its steps out of their order, which a memory needs: use --algorithm rl2.")
    if policy_config.distribution != "tanh-gaussian":
        raise ConfigError(
            "sac needs actions with bounds that it can differentiate: set policy.distribution to tanh-gaussian."
        )
    labelled = make_labelled(config.label, env.spec)
    policy = make_policy(policy_config, env.spec, labelled)
    critic = make_q_critic(config.critic, env.spec, labelled, policy_config.compute_dtype)
    updates = iterations * config.num_updates
    optimizer = by_part(
        {
            "policy": make_optimizer(config.optimizer, updates // config.actor_delay),
            "critic": make_optimizer(config.optimizer, updates),
            "log_alpha": optax.adam(config.temperature.lr),
        }
    )
    soft = make_soft(config, env, policy)
    update = make_update(config, critic, soft, optimizer)
    random_iterations = -(-config.random_steps // config.env_steps)

    def init(key: Key) -> RunState:
        key_policy, key_critic, key_envs = jax.random.split(key, 3)
        params = {
            "policy": policy.init(key_policy),
            "critic": critic.init(key_critic),
            "log_alpha": jnp.full(
                soft.num_kinds if config.temperature.per_task else 1, np.log(config.temperature.init)
            ),
        }
        memory = init_memory(env, key_envs, (config.num_tasks, config.envs_per_task), config.slots)
        return init_run_state(params, optimizer, policy.init_stats(), Kept(params["critic"], memory))

    def iterate(state: RunState, key: Key) -> tuple[RunState, Metrics]:
        key_run, key_update = jax.random.split(key)
        memory: Memory = state.kept.by_task
        decide = make_act(policy, state.obs_stats, acting(state.params), None)
        act = explore(policy, decide, state.step < random_iterations)
        standing, transitions = go_on(env, act, memory.standing, key_run, config.unroll)
        memory = remember(memory, standing, transitions, config.gamma, config.n_step)
        learner = state._replace(obs_stats=policy.observe(state.obs_stats, [transitions]))._replace(
            kept=Kept(state.kept.shared)  # the loop reads the replay, and does not hand it on
        )

        def learn(i: Array, carry: tuple[RunState, Metrics]) -> tuple[RunState, Metrics]:
            learner, metrics = carry
            for j in range(config.actor_delay):
                parts = list(learner.params) if j == config.actor_delay - 1 else ["critic"]
                learner, metrics = update(
                    learner, memory, parts, jax.random.fold_in(key_update, i * config.actor_delay + j)
                )
            return learner, metrics

        enough = memory.replay.filled.sum() >= config.random_steps
        rounds = jnp.where(enough, config.num_updates // config.actor_delay, 0)
        _, shapes = jax.eval_shape(learn, rounds, (learner, {}))
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        learner, metrics = jax.lax.fori_loop(0, rounds, learn, (learner, nothing))
        state = learner._replace(step=state.step + 1, kept=Kept(learner.kept.shared, memory))
        for when in ("before", "after"):  # nothing adapts at test time: one number
            metrics |= outcome_metrics(env, when, standing.latest)
        metrics["replay_filled"] = memory.replay.filled.mean() / config.slots
        return state, metrics | action_metrics(policy, transitions) | unstable_metrics([transitions])

    return Algorithm(
        init=init,
        iterate=iterate,
        policy_params=lambda state: acting(state.params),
        act=lambda state, params: make_act(policy, state.obs_stats, params, 0),
        adapt=lambda state, params, transitions: params,
        adaptation=Adaptation(0, None),
        init_carry=lambda shape: (),
        keeps_history=False,
        env_steps_per_iteration=config.env_steps,
        checkpointed=(lambda state: state) if config.checkpoint_replay else without_replay,
    )


def acting(params: Params) -> Params:
    """The policy's parameters, with what the critics have learned of labels."""
    return params["policy"] | {"vectors": params["critic"]["vectors"]}


class Soft(NamedTuple):
    """What the entropy has to do with: actions bounded by +-1, and their densities as such."""

    sample: Callable[[Params, Array, Key], tuple[Array, Array]]  # obs [B, obs_dim] -> actions, log-probabilities [B]
    alpha: Callable[[Params, Array], Array]  # task [B] -> temperature [B]
    target_entropy: float
    num_kinds: int  # of tasks: a suite's environments, else each task is one of its own


def make_soft(config: SacConfig, env: MetaEnv | Suite, policy: Policy) -> Soft:
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


def make_update(
    config: SacConfig, critic: QCritic, soft: Soft, optimizer: optax.GradientTransformation
) -> Callable[[RunState, Memory, list[str], Key], tuple[RunState, Metrics]]:
    """A gradient step of some parts of a learner's parameters, and the target's step after them."""
    loss = make_loss(critic, soft)

    def update(learner: RunState, memory: Memory, parts: list[str], key: Key) -> tuple[RunState, Metrics]:
        key_batch, key_loss = jax.random.split(key)
        unit = unit_of_reward(config, soft, learner.params, memory.greatest) if config.critic.scale_rewards else None
        batch = draw(memory, learner.obs_stats, key_batch, config.batch_size, unit)
        moving = {name: learner.params[name] for name in parts}
        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(moving, learner, batch, key_loss)
        learner = apply_gradients(optimizer, learner, grads)
        target = optax.incremental_update(learner.params["critic"], learner.kept.shared, config.tau)
        metrics |= {"loss": value, "outer_grad_norm": optax.tree.norm(grads), "target_norm": optax.tree.norm(target)}
        return learner._replace(kept=Kept(target)), metrics

    return update


def unit_of_reward(config: SacConfig, soft: Soft, params: Params, greatest: Array) -> Array:
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
        action, log_prob = soft.sample(acting(params), rows.obs, key_now)
        q = critic.value(critic.apply(held["critic"], rows.obs, action))
        actor_loss = jnp.mean(alpha * log_prob - q)
        surplus = jax.lax.stop_gradient(-log_prob) - soft.target_entropy
        alpha_loss = jnp.mean(soft.alpha(params, batch.task) * surplus)
        metrics |= {"actor_loss": actor_loss, "entropy": -log_prob.mean(), "temperature": alpha.mean()}
        return critic_loss + actor_loss + alpha_loss, metrics

    return loss
