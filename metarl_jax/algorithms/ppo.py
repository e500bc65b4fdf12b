"""PPO (arXiv:1707.06347) on a fixed batch of tasks: the baseline that does not adapt."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax

from .. import rollout
from ..errors import ConfigError
from ..learning import losses, normalize, returns
from ..learning.optim import OptimizerConfig, init_run_state, make_optimizer
from ..policies import PolicyConfig, make_act, make_policy
from ..types import Adaptation, Algorithm, Array, Key, MetaEnv, Metrics, Params, RunState, Suite, Transition
from .critic import Critic, CriticConfig, make_critic
from .diagnostics import action_metrics, outcome_metrics, unstable_metrics
from .ppo_update import Batch, PpoUpdateConfig, Weights, init_kept, mean_gradient, policy_loss, run_epochs
from .standing import go_on, start


@dataclasses.dataclass(frozen=True)
class PpoConfig:
    """Knobs of PPO."""

    name: ClassVar[str] = "ppo"

    num_tasks: int = 1
    """Tasks, drawn once at the start and kept."""
    envs_per_task: int = 64
    """Environments of each task."""
    unroll: int = 128
    """Steps of every environment per iteration; episodes go on from one iteration to the next."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.95
    """Exponential weight of generalised advantage estimation."""
    critic: CriticConfig = CriticConfig()
    """What predicts the return."""
    update: PpoUpdateConfig = PpoUpdateConfig(epochs=10, minibatches=16)
    """Update of actor and critic."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-4, max_grad_norm=0.5)
    """Optimiser of actor and critic."""

    def __post_init__(self):
        if min(self.num_tasks, self.envs_per_task, self.unroll) < 1:
            raise ConfigError("num_tasks, envs_per_task and unroll must be at least 1.")
        returns.check_discounts(self.gamma, self.gae_lambda)
        self.update.check_divides(self.batch_size, "steps (num_tasks * envs_per_task * unroll)")

    @property
    def batch_size(self) -> int:
        return self.num_tasks * self.envs_per_task * self.unroll


class Values(NamedTuple):
    """What the critic's part of the loss needs, B steps."""

    obs: Array  # [B, obs_dim], standardised
    value: Array  # [B], before the update
    target: Array  # [B], what the critic should say


def make(config: PpoConfig, env: MetaEnv | Suite, policy_config: PolicyConfig, iterations: int) -> Algorithm:
    """Builds the algorithm for a run of `iterations`."""
    rollout.check_num_tasks(env, config.num_tasks, "algorithm.num_tasks")
    if policy_config.memory.name != "none":
        raise ConfigError("ppo takes its steps out of their order, which a memory needs: use --algorithm rl2.")
    policy = make_policy(policy_config, env.spec)
    critic = make_critic(config.critic, policy_config.compute_dtype)
    optimizer = make_optimizer(config.optimizer, iterations * config.update.epochs * config.update.minibatches)

    def init(key: Key) -> RunState:
        key_policy, key_critic, key_envs = jax.random.split(key, 3)
        params = {"policy": policy.init(key_policy), "critic": critic.init(key_critic, env.spec.obs_dim)}
        standing = start(env, key_envs, (config.num_tasks, config.envs_per_task))
        return init_run_state(params, optimizer, policy.init_stats(), init_kept(config.update, standing))

    def iterate(state: RunState, key: Key) -> tuple[RunState, Metrics]:
        key_run, key_update = jax.random.split(key)
        act = make_act(policy, state.obs_stats, state.params["policy"], None)
        standing, transitions = go_on(env, act, state.kept.by_task, key_run, config.unroll)
        rows = prepare(config, critic, state, transitions)
        state, metrics = run_epochs(config.update, gradient, rows, optimizer, state, key_update, iterations)
        obs_stats = policy.observe(state.obs_stats, [transitions])
        state = state._replace(step=state.step + 1, obs_stats=obs_stats, kept=state.kept._replace(by_task=standing))
        for when in ("before", "after"):  # nothing adapts at test time: one number
            metrics |= outcome_metrics(env, when, standing.latest)
        return state, metrics | action_metrics(policy, transitions) | unstable_metrics([transitions])

    def gradient(params: Params, rows: tuple[Batch, Values], weights: Weights) -> tuple[Params, Metrics]:
        batch, values = rows
        batch = batch._replace(advantage=losses.standardise(batch.advantage))  # over the minibatch
        return mean_gradient(loss, params, (batch, values), weights)

    def loss(params: Params, rows: tuple[Batch, Values], weights: Weights) -> tuple[Array, Metrics]:
        batch, values = rows
        actor_loss, metrics = policy_loss(policy, params["policy"], batch, config.update.clip, weights)
        value_loss = critic.loss(critic.apply(params["critic"], values.obs), values.value, values.target)
        return actor_loss + config.critic.coef * value_loss, metrics | {"value_loss": value_loss}

    return Algorithm(
        init=init,
        iterate=iterate,
        policy_params=lambda state: state.params["policy"],
        act=lambda state, params: make_act(policy, state.obs_stats, params, 0),
        adapt=lambda state, params, transitions: params,
        adaptation=Adaptation(0, None),
        policy=policy,
        kept_tasks=lambda state: state.kept.by_task.tasks,
        init_carry=lambda shape: (),
        keeps_history=False,
        env_steps_per_iteration=config.batch_size,
    )


def prepare(config: PpoConfig, critic: Critic, state: RunState, transitions: Transition) -> tuple[Batch, Values]:
    """Flattens `[N, E, T]` experience and adds advantages and the critic's targets."""
    t = transitions
    obs_tm1, obs_t = (normalize.apply(state.obs_stats, obs) for obs in (t.obs_tm1, t.obs_t))
    value_tm1, value_t = (critic.value(critic.apply(state.params["critic"], obs)) for obs in (obs_tm1, obs_t))
    axes = (0, 0, 0, 0, 0, None)
    gae = jax.vmap(jax.vmap(returns.gae, in_axes=axes), in_axes=axes)
    discount_t = config.gamma * (1.0 - t.terminated_t)
    reward_t = config.critic.reward_scale * t.reward_t
    advantage = gae(reward_t, discount_t, 1.0 - t.last_t, value_tm1, value_t, config.gae_lambda)
    batch = Batch(obs_tm1, t.action_tm1, t.dist_tm1, t.log_prob_tm1, advantage)
    values = Values(obs_tm1, value_tm1, value_tm1 + advantage)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), (batch, values))
