"""PEARL (arXiv:1903.08254): a soft actor-critic that is told a draw from its belief of the task, which experience sharpens.

As in the paper: each piece of a task's context is a Gaussian factor; the latent is drawn anew for each episode; what is
collected with draws from the prior is the context of training, apart from the replay that actor and critics learn from; the
encoder is trained by the critics and a KL to the prior alone. Otherwise than there: the actor-critic is `sac`'s (two critics
and their targets, a learned temperature, in place of a value network and a fixed one), every iteration collects from all tasks,
and the prior is a factor of the belief too, so that without a context the one is the other.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from .. import replay, rollout
from ..errors import ConfigError, nearest_multiples
from ..learning import normalize
from ..learning.optim import by_part, init_run_state, make_optimizer
from ..networks import NetworkConfig
from ..networks.labels import LabelConfig, make_inputs
from ..policies import Policy, PolicyConfig, decide, make_policy
from ..rollout import Act, ActionSample, check_num_tasks
from ..types import (
    Adaptation,
    Algorithm,
    Array,
    History,
    Kept,
    Key,
    MetaEnv,
    Metrics,
    Params,
    RunState,
    Suite,
    Transition,
)
from . import belief as beliefs
from .belief import Belief, Encoder
from .diagnostics import action_metrics, outcome_metrics, unstable_metrics
from .off_policy import Batch, Experience, Memory, experience, init_memory, init_replay, remember
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
)


@dataclasses.dataclass(frozen=True)
class PearlConfig(SoftConfig):
    """Knobs of PEARL."""

    name: ClassVar[str] = "pearl"

    num_tasks: int = 100
    """Tasks, drawn once at the start and kept."""
    prior_episodes: int = 1
    """Episodes of each task per iteration that know nothing of it; they are its context."""
    posterior_episodes: int = 1
    """Episodes of each task per iteration after these, which know what they said."""
    updates: int = 200
    """Gradient steps per iteration."""
    meta_batch: int = 20
    """Tasks in a gradient step; must divide `num_tasks`."""
    batch_size: int = 64
    """Steps of each of them."""
    context_size: int = 64
    """Steps of each of their contexts, which the belief is inferred from."""
    latent: int = 5
    """Numbers that a task is described by."""
    next_obs: bool = False
    """A context holds next observations, too: tasks may differ by their dynamics, not their rewards."""
    kl_coef: float = 0.1
    """Weight of the beliefs' divergence from the prior, summed over latent and tasks."""
    reward_scale: float = 5.0
    """What rewards are multiplied by, for critics and encoder."""
    encoder: NetworkConfig = NetworkConfig(hidden=(200, 200, 200), activation="relu")
    """Network that sees a step of a context."""

    def __post_init__(self):
        super().__post_init__()
        if min(self.prior_episodes, self.posterior_episodes, self.updates, self.meta_batch) < 1:
            raise ConfigError("prior_episodes, posterior_episodes, updates and meta_batch must be at least 1.")
        if min(self.batch_size, self.context_size, self.latent) < 1:
            raise ConfigError("batch_size, context_size and latent must be at least 1.")
        if self.num_tasks % self.meta_batch:
            raise ConfigError(
                f"meta_batch {self.meta_batch} does not divide the {self.num_tasks} tasks: take a divisor of these, or a "
                f"num_tasks of {nearest_multiples(self.meta_batch, self.num_tasks)}."
            )
        if not (0.0 <= self.kl_coef < float("inf") and 0.0 < self.reward_scale < float("inf")):
            raise ConfigError("kl_coef must be finite and >= 0, reward_scale positive and finite.")
        if self.critic.scale_rewards:
            raise ConfigError("critic.scale_rewards is sac's alone: pearl has reward_scale.")

    @property
    def envs_per_task(self) -> int:
        """Environments of a task at once."""
        return max(self.prior_episodes, self.posterior_episodes)


class Knowledge(NamedTuple):
    """What is kept of N tasks."""

    memory: Memory  # what actor and critics learn from
    context: replay.Replay  # the latest `Experience` that knew nothing


class Drawn(NamedTuple):
    """What an episode believes: the memory of PEARL's policies."""

    latent: Array  # [..., L]
    there: Array  # [...] bool; False before the first


def make(config: PearlConfig, env: MetaEnv | Suite, policy_config: PolicyConfig, iterations: int) -> Algorithm:
    """Builds the algorithm for a run of `iterations`."""
    check_num_tasks(env, config.num_tasks, "algorithm.num_tasks")
    check_policy(config.name, policy_config, env.spec)
    spec, tasks = env.spec, config.num_tasks
    policy, critic, soft = make_actor_critic(config, env, policy_config)
    evidence_size = spec.obs_dim * (2 if config.next_obs else 1) + spec.action_dim + 1
    encoder = beliefs.make_encoder(config.encoder, evidence_size, config.latent, policy_config.compute_dtype)
    updates = iterations * config.updates
    optimizers = make_optimizers(config, updates) | {"encoder": make_optimizer(config.optimizer, updates)}
    optimizer = by_part(optimizers)
    update = make_update(config, make_descend(config, optimizer, make_elbo(config, encoder, make_loss(critic, soft))))
    nothing = beliefs.prior(config.latent)
    shape = (tasks, config.prior_episodes + config.posterior_episodes)
    slots = config.slots(shape[1] * spec.horizon)

    def init(key: Key) -> RunState:
        key_policy, key_critic, key_encoder, key_tasks = jax.random.split(key, 4)
        params = {
            "policy": policy.init(key_policy),
            "critic": critic.init(key_critic),
            "log_alpha": init_log_alpha(config, soft),
            "encoder": encoder.init(key_encoder),
        }
        drawn = rollout.sample_tasks(env, key_tasks, tasks)
        context = init_replay(spec, tasks, config.prior_episodes * spec.horizon)
        knowledge = Knowledge(init_memory(spec, drawn, shape, slots), context)
        return init_run_state(params, optimizer, policy.init_stats(), Kept(params["critic"], knowledge))

    def episodes(state: RunState, belief: Belief, key: Key, count: int) -> Transition:
        """`count` episodes of each task, `[N, count, T]`."""
        history = rollout.no_history(spec, (tasks, count), init_carry((tasks, count)))
        act = make_believing_act(policy, state.obs_stats, acting(state.params), belief)
        return rollout.run_episodes(env, act, state.kept.by_task.memory.standing, key, (tasks, count), history)[1]

    def iterate(state: RunState, key: Key) -> tuple[RunState, Metrics]:
        key_prior, key_posterior, key_update = jax.random.split(key, 3)
        belief = jax.tree.map(lambda x: jnp.broadcast_to(x, (tasks, *x.shape)), nothing)
        first = episodes(state, belief, key_prior, config.prior_episodes)
        then = episodes(state, adapt(state, belief, first), key_posterior, config.posterior_episodes)
        both = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), first, then)
        knowledge: Knowledge = state.kept.by_task
        context = replay.add(knowledge.context, experience(first, config.gamma, 1))
        # Episodes begin anew in each iteration.
        memory = remember(knowledge.memory._replace(returns=jnp.zeros(both.reward_t.shape[:2])), both, config.gamma, 1)
        learner = state._replace(obs_stats=policy.observe(state.obs_stats, [both]), kept=Kept(state.kept.shared))

        def learn(learner: RunState, key: Key) -> tuple[RunState, Metrics]:
            return update(learner, Knowledge(memory, context), key)

        learner, metrics = jax.lax.scan(learn, learner, jax.random.split(key_update, config.updates))
        metrics = jax.tree.map(lambda x: x[-1], metrics)
        for when, transitions in (("before", first), ("after", then)):
            metrics |= outcome_metrics(env, when, rollout.episode_outcome(transitions))
        metrics["replay_filled"] = memory.replay.filled.mean() / slots
        state = learner._replace(step=state.step + 1, kept=Kept(learner.kept.shared, Knowledge(memory, context)))
        return state, metrics | action_metrics(policy, both) | unstable_metrics([first, then])

    def adapt(state: RunState, belief: Belief, transitions: Transition) -> Belief:
        evidence = to_evidence(config, state.obs_stats, experience(transitions, config.gamma, 1))
        return belief.add(encoder.apply(state.params["encoder"], evidence))

    def init_carry(of: tuple[int, int]) -> Drawn:
        return Drawn(jnp.zeros((*of, config.latent)), jnp.zeros(of, bool))

    return Algorithm(
        init=init,
        iterate=iterate,
        policy_params=lambda state: nothing,
        act=lambda state, belief: make_believing_act(policy, state.obs_stats, acting(state.params), belief),
        adapt=adapt,
        adaptation=Adaptation(1, config.prior_episodes),
        init_carry=init_carry,
        keeps_history=False,
        knowledge=lambda belief, history: belief.mean,
        kept_tasks=lambda state: state.kept.by_task.memory.standing,
        env_steps_per_iteration=tasks * shape[1] * spec.horizon,
        checkpointed=(lambda state: state) if config.checkpoint_replay else forget,
    )


def make_actor_critic(
    config: PearlConfig, env: MetaEnv | Suite, policy_config: PolicyConfig
) -> tuple[Policy, QCritic, Soft]:
    """Policy and critics that see observations followed by a latent."""
    inputs = make_inputs(LabelConfig(), env.spec)._replace(added=config.latent, condition=config.latent)
    policy = make_policy(policy_config, env.spec, inputs)
    critic = make_q_critic(config.critic, env.spec, inputs, policy_config.compute_dtype)
    return policy, critic, make_soft(config, env, policy)


def make_update(
    config: PearlConfig, descend: Callable
) -> Callable[[RunState, Knowledge, Key], tuple[RunState, Metrics]]:
    """A gradient step of all parameters of a learner, on some of its tasks."""

    def update(learner: RunState, knowledge: Knowledge, key: Key) -> tuple[RunState, Metrics]:
        key_task, key_rows, key_context, key_loss = jax.random.split(key, 4)
        which, task = replay.choose(key_task, config.num_tasks, config.meta_batch)
        rows = replay.sample(knowledge.memory.replay, key_rows, config.batch_size, which)
        context = replay.sample(knowledge.context, key_context, config.context_size, which)
        return descend(learner, learner.params, task, rows, context, key_loss)

    return update


def make_believing_act(policy: Policy, stats: normalize.Stats, params: Params, belief: Belief) -> Act:
    """The policy, told a draw from the belief of its task `[N, L]`, a fresh one for each episode."""

    def act(obs: Array, history: History, key: Key) -> tuple[Drawn, ActionSample]:
        key_latent, key_action = jax.random.split(key)
        drawn: Drawn = history.carry
        fresh = beliefs.sample(jax.tree.map(lambda x: x[:, None], belief), key_latent, drawn.there.shape)
        latent = jnp.where((history.last | ~drawn.there)[..., None], fresh, drawn.latent)
        dist = policy.head(params, tell(stats, obs, latent))
        return Drawn(latent, jnp.ones_like(drawn.there)), decide(policy, dist, key_action)

    return act


def tell(stats: normalize.Stats, obs: Array, latent: Array) -> Array:
    """What actor and critics see, `[..., obs_dim + L]`, of observations `[..., obs_dim]` and latents `[..., L]`."""
    return jnp.concatenate([normalize.apply(stats, obs), latent], axis=-1)


def to_evidence(config: PearlConfig, stats: normalize.Stats, rows: Experience) -> Array:
    """What the encoder sees of steps `[..., C]`, `[..., C, in_dim]`."""
    seen = [normalize.apply(stats, rows.obs), rows.action, config.reward_scale * rows.reward[..., None]]
    return jnp.concatenate(seen + [normalize.apply(stats, rows.next_obs)] * config.next_obs, axis=-1)


def make_elbo(config: PearlConfig, encoder: Encoder, soft_loss: Callable) -> Callable:
    """The losses of actor and critics on rows `[M, B]` of M tasks, told draws from beliefs that their contexts `[M, C]` make."""

    def elbo(
        params: Params, learner: RunState, task: Array, rows: Experience, context: Experience, key: Key
    ) -> tuple[Array, Metrics]:
        key_latent, key_loss = jax.random.split(key)
        stats = learner.obs_stats
        belief = encoder.apply(params["encoder"], to_evidence(config, stats, context)).add(beliefs.prior(config.latent))
        latent = beliefs.sample(belief, key_latent, (len(task),))[:, None]
        latent = jnp.broadcast_to(latent, (*rows.reward.shape, config.latent))
        told = rows._replace(
            obs=tell(stats, rows.obs, latent),
            next_obs=tell(stats, rows.next_obs, latent),
            reward=config.reward_scale * rows.reward,
        )
        batch = Batch(*jax.tree.map(_flat, (told, jnp.broadcast_to(task[:, None], rows.reward.shape))))
        others = {name: part for name, part in params.items() if name != "encoder"}
        value, metrics = soft_loss(others, learner, batch, key_loss)
        kl = beliefs.kl_to_prior(belief)
        return value + config.kl_coef * kl.sum(), metrics | {"kl": kl.mean(), "latent_std": belief.std.mean()}

    return elbo


def forget(state: RunState) -> RunState:
    """The state but what actor and critics learn from."""
    knowledge = state.kept.by_task
    memory = knowledge.memory._replace(replay=())
    return state._replace(kept=state.kept._replace(by_task=knowledge._replace(memory=memory)))


def _flat(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])
