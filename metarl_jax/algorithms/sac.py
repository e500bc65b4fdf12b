"""Soft actor-critic (arXiv:1801.01290, arXiv:1812.05905) on a fixed batch of tasks, from replay."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from ..errors import ConfigError, nearest_multiples
from ..learning.optim import by_part, init_run_state
from ..networks.labels import LabelConfig, make_inputs
from ..policies import PolicyConfig, make_act, make_policy
from ..rollout import check_num_tasks
from ..types import Adaptation, Algorithm, Array, Kept, Key, MetaEnv, Metrics, RunState, Suite
from .diagnostics import action_metrics, outcome_metrics, unstable_metrics
from .off_policy import Memory, draw, explore, init_memory, remember, without_replay
from .q_critic import QCritic, make_q_critic
from .soft import (
    Soft,
    SoftConfig,
    acting,
    check_policy,
    init_log_alpha,
    make_descend,
    make_loss,
    make_optimizers,
    make_soft,
    unit_of_reward,
)
from .standing import go_on, start


@dataclasses.dataclass(frozen=True)
class SacConfig(SoftConfig):
    """Knobs of SAC."""

    name: ClassVar[str] = "sac"

    envs_per_task: int = 16
    """Environments of each task."""
    unroll: int = 8
    """Steps of every environment per iteration; episodes go on from one iteration to the next."""
    n_step: int = 1
    """Rewards summed before a value is bootstrapped; at most `unroll`."""
    random_steps: int = 5_000
    """Environment steps with uniformly random actions before anything is learned."""
    updates_per_step: float = 1.0 / 16.0
    """Gradient steps for each environment step."""
    batch_size: int = 256
    """Steps in a gradient step: as many of each task, or one of every few that follow each other."""
    actor_delay: int = 1
    """Critic updates for each update of actor and temperature."""
    label: LabelConfig = LabelConfig()
    """Which task it is, where observations say so."""

    def __post_init__(self):
        super().__post_init__()
        if min(self.envs_per_task, self.unroll, self.n_step, self.actor_delay) < 1 or self.random_steps < 0:
            raise ConfigError("envs_per_task, unroll, n_step and actor_delay must be at least 1, random_steps 0.")
        if self.n_step > self.unroll:
            raise ConfigError(f"n_step {self.n_step} is more than the {self.unroll} steps of an unroll.")
        if self.batch_size < 1 or (self.batch_size % self.num_tasks and self.num_tasks % self.batch_size):
            raise ConfigError(
                f"batch_size {self.batch_size} cannot be split evenly over {self.num_tasks} tasks: take "
                f"{nearest_multiples(self.num_tasks, self.batch_size)}, or a divisor."
            )
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


def make(config: SacConfig, env: MetaEnv | Suite, policy_config: PolicyConfig, iterations: int) -> Algorithm:
    """Builds the algorithm for a run of `iterations`."""
    check_num_tasks(env, config.num_tasks, "algorithm.num_tasks")
    check_policy(config.name, policy_config, env.spec)
    inputs = make_inputs(config.label, env.spec)
    policy = make_policy(policy_config, env.spec, inputs)
    critic = make_q_critic(config.critic, env.spec, inputs, policy_config.compute_dtype)
    optimizer = by_part(make_optimizers(config, iterations * config.num_updates, config.actor_delay))
    soft = make_soft(config, env, policy)
    update = make_update(config, critic, soft, optimizer)
    shape, slots = (config.num_tasks, config.envs_per_task), config.slots(config.envs_per_task * config.unroll)
    random_iterations = -(-config.random_steps // config.env_steps)

    def init(key: Key) -> RunState:
        key_policy, key_critic, key_envs = jax.random.split(key, 3)
        params = {
            "policy": policy.init(key_policy),
            "critic": critic.init(key_critic),
            "log_alpha": init_log_alpha(config, soft),
        }
        memory = init_memory(env.spec, start(env, key_envs, shape), shape, slots)
        return init_run_state(params, optimizer, policy.init_stats(), Kept(params["critic"], memory))

    def iterate(state: RunState, key: Key) -> tuple[RunState, Metrics]:
        key_run, key_update = jax.random.split(key)
        memory: Memory = state.kept.by_task
        decide = make_act(policy, state.obs_stats, acting(state.params), None)
        act = explore(policy, decide, state.step < random_iterations)
        standing, transitions = go_on(env, act, memory.standing, key_run, config.unroll)
        memory = remember(memory._replace(standing=standing), transitions, config.gamma, config.n_step)
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
        metrics["replay_filled"] = memory.replay.filled.mean() / slots
        return state, metrics | action_metrics(policy, transitions) | unstable_metrics([transitions])

    return Algorithm(
        init=init,
        iterate=iterate,
        policy_params=lambda state: acting(state.params),
        act=lambda state, params: make_act(policy, state.obs_stats, params, 0),
        adapt=lambda state, params, transitions: params,
        adaptation=Adaptation(0, None),
        policy=policy,
        kept_tasks=lambda state: state.kept.by_task.standing.tasks,
        init_carry=lambda shape: (),
        keeps_history=False,
        env_steps_per_iteration=config.env_steps,
        checkpointed=(lambda state: state) if config.checkpoint_replay else without_replay,
    )


def make_update(
    config: SacConfig, critic: QCritic, soft: Soft, optimizer: optax.GradientTransformation
) -> Callable[[RunState, Memory, list[str], Key], tuple[RunState, Metrics]]:
    """A gradient step of some parts of a learner's parameters, and the target's step after them."""
    descend = make_descend(config, optimizer, make_loss(critic, soft))

    def update(learner: RunState, memory: Memory, parts: list[str], key: Key) -> tuple[RunState, Metrics]:
        key_batch, key_loss = jax.random.split(key)
        unit = unit_of_reward(config, soft, learner.params, memory.greatest) if config.critic.scale_rewards else None
        batch = draw(memory, learner.obs_stats, key_batch, config.batch_size, unit)
        return descend(learner, {name: learner.params[name] for name in parts}, batch, key_loss)

    return update
