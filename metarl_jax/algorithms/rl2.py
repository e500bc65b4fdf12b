"""RL^2 (arXiv:1611.02779): PPO over trials, with a memory that lasts through the episodes of one task."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .. import rollout, sharding
from ..errors import ConfigError, nearest_divisors
from ..learning import losses, returns
from ..learning.distributions import Dist
from ..learning.optim import OptimizerConfig, init_run_state, make_optimizer
from ..networks import MEMORIES, make_memory
from ..policies import Policy, PolicyConfig, Sequence, input_size, make_act, make_policy, memory_inputs
from ..types import Adaptation, Algorithm, Array, EnvSpec, Key, MetaEnv, Metrics, Params, RunState, Suite, Transition
from . import virtual as virtual_tasks
from .critic import Critic, CriticConfig, make_critic
from .diagnostics import action_metrics, outcome_metrics, unstable_metrics
from .ppo_update import (
    Batch,
    Gradient,
    Loss,
    PpoUpdateConfig,
    Weights,
    clipped_loss,
    init_kept,
    mean_gradient,
    run_epochs,
)
from .variational import BeliefConfig, Choice, Decoder, choose, make_decoder


@dataclasses.dataclass(frozen=True)
class Rl2Config:
    """Knobs of RL^2."""

    name: ClassVar[str] = "rl2"

    num_tasks: int = 40
    """Tasks per iteration."""
    envs_per_task: int = 2
    """Trials of each task, each with a memory of its own."""
    episodes: int = 2
    """Length of a trial in horizons; the memory is cleared before the first episode alone."""
    chunk: int = 100
    """Steps through which gradients flow back; each chunk begins with the memory of the sampling time."""
    gamma: float = 0.99
    """Discount; rewards of later episodes of a trial count for the actions of earlier ones."""
    gae_lambda: float = 0.95
    """Exponential weight of generalised advantage estimation."""
    critic: CriticConfig = CriticConfig(coef=1.0)
    """What predicts the return."""
    shared_memory: bool = False
    """The critic reads the policy's memory; else it has its own of the same kind."""
    belief: BeliefConfig = BeliefConfig()
    """What the policy sees of its memory is a belief of the task (VariBAD), if it has a size."""
    update: PpoUpdateConfig = PpoUpdateConfig(epochs=5, minibatches=4)
    """Update of actor and critic; minibatches are of trials."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=5e-4, max_grad_norm=0.5)
    """Optimiser of actor and critic."""

    def __post_init__(self):
        if min(self.num_tasks, self.envs_per_task, self.episodes, self.chunk) < 1:
            raise ConfigError("num_tasks, envs_per_task, episodes and chunk must be at least 1.")
        returns.check_discounts(self.gamma, self.gae_lambda)
        self.update.check_divides(self.num_tasks * self.envs_per_task, "trials (num_tasks * envs_per_task)")


class Steps(NamedTuple):
    """What the loss needs of B = N * E trials, in C chunks of L steps: every field `[B, C, L, ...]`."""

    inputs: Array
    action: Array
    dist: Dist
    log_prob: Array
    advantage: Array
    value: Array  # before the update
    target: Array  # what the critic should say


class Experience(NamedTuple):
    """What an update learns from: B trials."""

    steps: Steps
    carries: Any  # of the memories before each chunk, [B, C, ...]
    noise: Any = ()  # of what is drawn from beliefs, [B, terms, latent], where there are such
    weight: Any = ()  # [B], of what a trial says to its beliefs


class ActorCritic(NamedTuple):
    """Policy and critic as one model of sequences."""

    init: Callable[[Key], Params]
    init_carry: Callable[[tuple[int, ...]], Any]
    apply: Callable[[Params, Sequence], "Said"]
    critic: Critic


class Said(NamedTuple):
    """What an actor-critic says of a sequence, `[L, ...]`."""

    carry: Any  # after it, [...]
    dist: Dist
    judgement: Array  # what the critic gives, [L, ..., K]
    features: Array  # what the policy's head saw


def make(config: Rl2Config, env: MetaEnv | Suite, policy_config: PolicyConfig, iterations: int) -> Algorithm:
    """Builds the algorithm for a run of `iterations`."""
    rollout.check_num_tasks(env, config.num_tasks, "algorithm.num_tasks")
    num_steps = config.episodes * env.spec.horizon
    if num_steps % config.chunk:
        raise ConfigError(
            f"trials of {num_steps} steps cannot be cut into chunks of {config.chunk}; chunk can be "
            f"{nearest_divisors(num_steps, config.chunk)}."
        )
    policy = make_policy(policy_config, env.spec, latent=config.belief.latent)
    decoder = make_decoder(config.belief, env.spec, policy_config.compute_dtype)
    model = make_actor_critic(config, policy, policy_config, env.spec)
    optimizer = make_optimizers(config, iterations * config.update.epochs * config.update.minibatches)
    loss = make_loss(config, policy, model, decoder)
    shape = (config.num_tasks, config.envs_per_task)

    def init(key: Key) -> RunState:
        if not config.belief.latent:
            return init_run_state(model.init(key), optimizer, policy.init_stats(), init_kept(config.update))
        key_model, key_decoder = jax.random.split(key)
        params = model.init(key_model) | {"decoder": decoder.init(key_decoder)}
        seen = virtual_tasks.nothing_seen(config.num_tasks, config.belief.latent) if config.belief.virtual else ()
        return init_run_state(params, optimizer, policy.init_stats(), init_kept(config.update, seen))

    def iterate(state: RunState, key: Key) -> tuple[RunState, Metrics]:
        key_tasks, key_start, key_run, key_update = jax.random.split(key, 4)
        tasks = rollout.sample_tasks(env, key_tasks, config.num_tasks)
        history = rollout.no_history(env.spec, shape, policy.init_carry(shape))
        start = rollout.start(env, tasks, key_start, shape, history)
        act = make_act(policy, state.obs_stats, state.params["policy"], None)
        seen, virtual, imagine = state.kept.by_task, None, None
        if config.belief.latent and config.belief.virtual:
            key_run, key_virtual = jax.random.split(key_run)
            virtual = virtual_tasks.draw(config.belief.virtual, seen, key_virtual)
            imagine = virtual_tasks.make_imagine(decoder, state.params["decoder"], state.obs_stats, seen, virtual)
        end, transitions = rollout.collect(env, act, tasks, start, key_run, num_steps, imagine)
        of_device = sharding.over_rows(lambda t, state: prepare(config, model, state, t), config.num_tasks)
        experience, choice = of_device(transitions, state), None
        if config.belief.latent:
            key_update, key_choice = jax.random.split(key_update)
            choice = choose(config.belief, key_choice, num_steps, shape[0] * shape[1])
            experience = experience._replace(noise=jnp.swapaxes(choice.noise, 0, 1), weight=choice.weight)
            choice = choice._replace(noise=(), weight=())  # each trial has its own, on its device
        if virtual is not None:
            weight = jnp.repeat(virtual_tasks.weights(virtual), config.envs_per_task)
            experience = experience._replace(weight=weight)
            seen = virtual_tasks.update(seen, virtual, policy.knowledge(end.history.carry), transitions.reward_t)
        gradient = make_gradient(loss, choice)
        state, metrics = run_epochs(config.update, gradient, experience, optimizer, state, key_update, iterations)
        state = state._replace(step=state.step + 1, obs_stats=policy.observe(state.obs_stats, [transitions]))
        state = state._replace(kept=state.kept._replace(by_task=seen))
        for when, episode in (("before", 0), ("after", config.episodes - 1)):
            outcome = rollout.episode_outcome(transitions, episode)
            outcome = outcome if virtual is None else virtual_tasks.real_alone(outcome, virtual)
            metrics |= outcome_metrics(env, when, outcome)
        return state, metrics | action_metrics(policy, transitions) | unstable_metrics([transitions])

    return Algorithm(
        init=init,
        iterate=iterate,
        policy_params=lambda state: state.params["policy"],
        act=lambda state, params: make_act(policy, state.obs_stats, params, 0),
        adapt=lambda state, params, transitions: params,  # the memory adapts
        adaptation=Adaptation(config.episodes - 1, None),
        init_carry=policy.init_carry,
        keeps_history=True,
        policy=policy,
        knowledge=lambda params, history: policy.knowledge(history.carry),
        env_steps_per_iteration=shape[0] * shape[1] * num_steps,
    )


def make_actor_critic(config: Rl2Config, policy: Policy, policy_config: PolicyConfig, spec: EnvSpec) -> ActorCritic:
    """The policy and a critic with a memory of its own, or with the policy's."""
    if policy_config.memory.name == "none":
        raise ConfigError(f"rl2 adapts by memory: set policy.memory.name to one of {', '.join(MEMORIES)}.")
    memory = make_memory(policy_config.memory, policy_config.compute_dtype)
    critic = make_critic(config.critic, policy_config.compute_dtype)

    def init(key: Key) -> Params:
        key_policy, key_memory, key_value = jax.random.split(key, 3)
        size = policy.feature_size if config.shared_memory else policy_config.memory.width
        params = {"policy": policy.init(key_policy), "value": critic.init(key_value, size)}
        if not config.shared_memory:
            params["memory"] = memory.init(key_memory, input_size(spec))
        return params

    def init_carry(shape: tuple[int, ...]) -> tuple[Any, Any]:
        return policy.init_carry(shape), () if config.shared_memory else memory.init_carry(shape)

    def apply(params: Params, sequence: Sequence) -> Said:
        carry, critic_carry = sequence.carry
        carry, features = policy.features(params["policy"], sequence._replace(carry=carry))
        # A belief is the decoder's to train.
        judged = seen = jax.lax.stop_gradient(features) if config.belief.latent else features
        dist = policy.head(params["policy"], seen)
        if not config.shared_memory:
            critic_carry, judged = memory.unroll(params["memory"], critic_carry, sequence.inputs)
        return Said((carry, critic_carry), dist, critic.apply(params["value"], judged), features)

    return ActorCritic(init, init_carry, apply, critic)


def make_gradient(loss: Loss, choice: Choice | None) -> Gradient:
    """The loss's gradient on trials whose advantages are standardised over all of their steps."""

    def gradient(params: Params, trials: Experience, weights: Weights) -> tuple[Params, Metrics]:
        advantage = losses.standardise(trials.steps.advantage)
        trials = trials._replace(steps=trials.steps._replace(advantage=advantage))
        return mean_gradient(loss, params, trials, (weights, choice))

    return gradient


def make_loss(config: Rl2Config, policy: Policy, model: ActorCritic, decoder: Decoder) -> Callable:
    """The loss on some trials, told the weights of its terms at this point of the run, and what beliefs are asked."""

    def loss(params: Params, trials: Experience, told: tuple[Weights, Choice | None]) -> tuple[Array, Metrics]:
        weights, choice = told
        batch, value_old, target = side_by_side(trials)
        said = model.apply(params, batch.context)
        actor_loss, metrics = clipped_loss(policy, said.dist, batch, config.update.clip, weights)
        value_loss = model.critic.loss(said.judgement, value_old, target)
        total, metrics = actor_loss + config.critic.coef * value_loss, metrics | {"value_loss": value_loss}
        if choice is None:
            return total, metrics
        inputs, beliefs = batch.context.inputs, said.features[..., -2 * config.belief.latent :]
        inputs, beliefs = (of_trials(x, len(trials.noise)) for x in (inputs, beliefs))
        choice = choice._replace(noise=jnp.swapaxes(trials.noise, 0, 1), weight=trials.weight)
        elbo_loss, parts = decoder.elbo(params["decoder"], inputs, beliefs, choice)
        return total + elbo_loss, metrics | parts

    return loss


def make_optimizers(config: Rl2Config, updates: int) -> optax.GradientTransformation:
    """One for actor and critic, and where there is a belief, another for what makes it."""
    learner = make_optimizer(config.optimizer, updates)
    if not config.belief.latent:
        return learner
    belief = make_optimizer(dataclasses.replace(config.optimizer, lr=config.belief.lr), updates)

    def labels(params: Params) -> Params:
        policy = {name: "belief" if name in ("memory", "belief") else "learner" for name in params["policy"]}
        return {name: "belief" if name == "decoder" else "learner" for name in params} | {"policy": policy}

    return optax.multi_transform({"learner": learner, "belief": belief}, labels)


def of_trials(x: Array, num_trials: int) -> Array:
    """Chunks of trials side by side, `[L, B * C, ...]`, as whole trials `[T, B, ...]`."""
    return jnp.moveaxis(x.reshape(len(x), num_trials, -1, *x.shape[2:]), 2, 0).reshape(-1, num_trials, *x.shape[2:])


def prepare(
    config: Rl2Config,
    model: ActorCritic,
    state: RunState,
    transitions: Transition,
) -> Experience:
    """Cuts `[N, E, T]` experience into chunks and adds advantages and the critic's targets.

    A trial is one episode of the problem that RL^2 solves (Duan et al., section 2): values go on through the ends of the task's
    episodes, and end with the trial.
    """

    def cut(x: Array) -> Array:
        """`[N, E, T, ...]` -> `[C, L, B, ...]`."""
        x = jnp.moveaxis(x.reshape(-1, *x.shape[2:]), 1, 0)
        return x.reshape(-1, config.chunk, *x.shape[1:])

    t = jax.tree.map(cut, transitions)
    inputs = memory_inputs(state.obs_stats, t.obs_tm1, t.action_tm2, t.reward_tm1, t.last_tm1)

    def run_chunk(carry: Any, inputs: Array) -> tuple[Any, tuple[Any, Array]]:
        said = model.apply(state.params, Sequence(inputs, carry))
        return said.carry, (carry, model.critic.value(said.judgement))

    _, (carries, value) = jax.lax.scan(run_chunk, model.init_carry(inputs.shape[2:3]), inputs)
    value_tm1 = value.reshape(-1, value.shape[-1])  # [T, B]
    value_t = jnp.concatenate([value_tm1[1:], jnp.zeros_like(value_tm1[:1])])
    reward_t = config.critic.reward_scale * t.reward_t.reshape(value_t.shape)
    ones = jnp.ones_like(value_t)
    gae = jax.vmap(returns.gae, in_axes=(1, 1, 1, 1, 1, None), out_axes=1)
    advantage = gae(reward_t, config.gamma * ones, ones, value_tm1, value_t, config.gae_lambda)
    advantage, target = (x.reshape(value.shape) for x in (advantage, value_tm1 + advantage))
    steps = Steps(inputs, t.action_tm1, t.dist_tm1, t.log_prob_tm1, advantage, value, target)
    return Experience(
        jax.tree.map(lambda x: jnp.moveaxis(x, 2, 0), steps), jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), carries)
    )


def side_by_side(trials: Experience) -> tuple[Batch, Array, Array]:
    """All chunks of some trials as a batch `[L, B * C]`, the values before the update, and the critic's targets."""
    steps = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, *x.shape[2:]), 1, 0), trials.steps)
    carry = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), trials.carries)
    batch = Batch(Sequence(steps.inputs, carry), steps.action, steps.dist, steps.log_prob, steps.advantage)
    return batch, steps.value, steps.target
