"""A policy: a network, an action distribution, and the environment's bounds."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .errors import ConfigError, lookup
from .learning import normalize
from .learning.distributions import DISTRIBUTIONS, Categorical, Dist, Distribution, Gaussian
from .networks import MemoryConfig, NetworkConfig, make_memory, make_network
from .networks.labels import Inputs, LabelConfig, make_inputs
from .rollout import Act, ActionSample
from .types import Array, EnvSpec, History, Key, Params, Transition


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """What the policy is made of."""

    network: NetworkConfig = NetworkConfig()
    """Network that gives the mean action, or the logits of discrete ones."""
    memory: MemoryConfig = MemoryConfig()
    """Sequence model before the network, which sees observation, previous action, previous reward and ends of episodes."""
    distribution: str = "gaussian"
    """`gaussian`: draws are clipped to the action bounds; `tanh-gaussian`: squashed into them, which must be finite.
    Either way, a draw of 1 is the upper bound. `categorical`: where actions are discrete; it has no standard deviation."""
    init_log_std: float = 0.0
    """Logarithm of the standard deviation at the start, learned."""
    state_std: bool = False
    """The network gives a standard deviation for each state; else it is the same in all."""
    min_log_std: float = -2.0
    """Lower bound of the logarithm of the standard deviation."""
    max_log_std: float = 1.0
    """Upper bound of the logarithm of the standard deviation."""
    normalize_obs: bool = False
    """Standardise observations, and the rewards that a memory sees, by their running mean and variance."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of matrix products, and of activations between a network's layers, in policy, memory and critic alike.
    Parameters, recurrences, last layers, distributions and losses are float32 either way."""

    def __post_init__(self):
        if not -np.inf < self.min_log_std < self.init_log_std < self.max_log_std < np.inf:
            raise ConfigError(
                f"policy init_log_std {self.init_log_std} must lie between finite min_log_std {self.min_log_std} and "
                f"max_log_std {self.max_log_std}."
            )


class Sequence(NamedTuple):
    """L steps that a policy with a memory is run over again."""

    inputs: Array  # [L, ..., obs_dim + action_dim + 2]
    carry: Any  # [...], of the memory before the first step


Context = Any  # a Sequence; observations [..., obs_dim], standardised, where there is no memory


class Policy(NamedTuple):
    """A policy as pure functions."""

    init: Callable[[Key], Params]
    init_stats: Callable[[], normalize.Stats]  # of what `observe` has taken note of: nothing yet
    init_carry: Callable[[tuple[int, ...]], Any]  # shape of a batch -> memories that remember nothing
    step: Callable[[Params, normalize.Stats, Array, History], tuple[Any, Dist]]  # obs [..., obs_dim]
    context: Callable[[normalize.Stats, Transition], Context]  # of whole rollouts `[E, T, ...]`, for `dist`
    features: Callable[[Params, Context], tuple[Any, Array]]  # -> carry of the memory afterwards, what the head sees
    head: Callable[[Params, Array], Dist]
    dist: Callable[[Params, Context], Dist]  # the head on the features
    arrange: Callable[[Array], Array]  # [E, T, ...] -> the leading axes of what `dist` gives for their context
    distribution: Distribution
    observe: Callable[[normalize.Stats, list[Transition]], normalize.Stats]  # takes note of what was observed


class Head(NamedTuple):
    """The network that gives a distribution of features."""

    init: Callable[[Key, int], Params]  # of features of that size
    apply: Callable[[Params, Array], Dist]


def make_policy(config: PolicyConfig, spec: EnvSpec, inputs: Inputs | None = None) -> Policy:
    """Builds the policy for an environment; ConfigError where the distribution does not fit its action space.

    What is learned of labels (see `LabelConfig`) is not the policy's to learn: `init` leaves it out, and all else finds it in
    `params["vectors"]`.
    """
    distribution = _make_distribution(config, spec)
    if spec.discrete:
        head = _make_categorical_head(config, spec)
    else:
        head = _make_gaussian_head(config, spec, inputs or make_inputs(LabelConfig(), spec))
    make = _make_memoryless if config.memory.name == "none" else _make_remembering
    return make(config, spec, head, distribution)


def _make_memoryless(config: PolicyConfig, spec: EnvSpec, head: Head, distribution: Distribution) -> Policy:
    """Its features are the observations."""
    return Policy(
        init=lambda key: head.init(key, spec.obs_dim),
        init_stats=lambda: normalize.init(spec.obs_dim),
        init_carry=lambda shape: (),
        step=lambda params, stats, obs, history: ((), head.apply(params, normalize.apply(stats, obs))),
        context=lambda stats, t: _flat(normalize.apply(stats, t.obs_tm1)),
        features=lambda params, obs: ((), obs),
        head=head.apply,
        dist=head.apply,
        arrange=_flat,
        distribution=distribution,
        observe=_make_observe(config, lambda t: t.obs_tm1),
    )


def _make_remembering(config: PolicyConfig, spec: EnvSpec, head: Head, distribution: Distribution) -> Policy:
    """Its features are what the memory gives."""
    memory = make_memory(config.memory, config.compute_dtype)

    def init(key: Key) -> Params:
        key_memory, key_head = jax.random.split(key)
        return {"memory": memory.init(key_memory, input_size(spec)), **head.init(key_head, config.memory.width)}

    def step(params: Params, stats: normalize.Stats, obs: Array, history: History) -> tuple[Any, Dist]:
        inputs = memory_inputs(stats, obs, history.action, history.reward, history.last)
        carry, features = memory.step(params["memory"], history.carry, inputs)
        return carry, head.apply(params, features)

    def context(stats: normalize.Stats, t: Transition) -> Sequence:
        inputs = memory_inputs(stats, t.obs_tm1, t.action_tm2, t.reward_tm1, t.last_tm1)
        return Sequence(_time_first(inputs), memory.init_carry(inputs.shape[:-2]))

    def features(params: Params, sequence: Sequence) -> tuple[Any, Array]:
        return memory.unroll(params["memory"], sequence.carry, sequence.inputs)

    return Policy(
        init=init,
        init_stats=lambda: normalize.init(spec.obs_dim + 1),
        init_carry=memory.init_carry,
        step=step,
        context=context,
        features=features,
        head=head.apply,
        dist=lambda params, sequence: head.apply(params, features(params, sequence)[1]),
        arrange=_time_first,
        distribution=distribution,
        observe=_make_observe(config, lambda t: _with_reward(t.obs_tm1, t.reward_tm1)),
    )


def _make_categorical_head(config: PolicyConfig, spec: EnvSpec) -> Head:
    # A small last layer: first actions are about equally likely whatever the observation.
    network = make_network(config.network, spec.action_dim, 0.01, config.compute_dtype)
    return Head(
        lambda key, in_dim: {"logits": network.init(key, in_dim)},
        lambda params, features: Categorical(network.apply(params["logits"], features)),
    )


def _make_gaussian_head(config: PolicyConfig, spec: EnvSpec, inputs: Inputs) -> Head:
    # A small last layer: first actions are near zero whatever the observation.
    make = functools.partial(make_network, config.network, out_scale=0.01, compute_dtype=config.compute_dtype)
    network = inputs.network(make, spec.action_dim * (2 if config.state_std else 1))
    lowest, span = config.min_log_std, config.max_log_std - config.min_log_std
    share = (config.init_log_std - lowest) / span
    first_logit = np.log(share / (1.0 - share))

    def init(key: Key, in_dim: int) -> Params:
        mean = {"mean": network.init(key, in_dim + inputs.added)}
        return mean if config.state_std else mean | {"log_std_logit": jnp.full(spec.action_dim, first_logit, float)}

    def apply(params: Params, features: Array) -> Gaussian:
        vectors = jax.lax.stop_gradient(params.get("vectors"))
        mean = network.apply(params["mean"], inputs.see(vectors, features))
        if config.state_std:
            mean, logit = jnp.split(mean, 2, axis=-1)
            logit = logit + first_logit
        else:
            logit = jnp.broadcast_to(params["log_std_logit"], mean.shape)
        # A sigmoid, not a clip: at a bound a clip has no gradient and never comes back.
        return Gaussian(mean, lowest + span * jax.nn.sigmoid(logit))

    return Head(init, apply)


def _make_observe(config: PolicyConfig, seen: Callable[[Transition], Array]) -> Callable:
    """`Policy.observe` of what `seen` takes of transitions."""

    def observe(stats: normalize.Stats, rounds: list[Transition]) -> normalize.Stats:
        if config.normalize_obs:
            for transitions in rounds:
                stats = normalize.merge(stats, normalize.of_batch(seen(transitions)))
        return stats

    return observe


def _make_distribution(config: PolicyConfig, spec: EnvSpec) -> Distribution:
    make = lookup(config.distribution, DISTRIBUTIONS, "action distribution")
    if spec.discrete != (config.distribution == "categorical"):
        actions, right = (
            ("discrete", "'categorical'") if spec.discrete else ("numbers", "'gaussian' or 'tanh-gaussian'")
        )
        raise ConfigError(
            f"policy.distribution {config.distribution!r} does not fit {spec.name!r}, whose actions are {actions}: set "
            f"policy.distribution to {right}."
        )
    low, high = np.array(spec.action_low), np.array(spec.action_high)
    if config.distribution == "tanh-gaussian" and not np.isfinite([low, high]).all():
        raise ConfigError(
            f"policy.distribution 'tanh-gaussian' squashes into finite action bounds, but {spec.name!r} has bounds "
            f"{low.tolist()} to {high.tolist()}: set policy.distribution to 'gaussian'."
        )
    return make(jnp.asarray(low, float), jnp.asarray(high, float))


def input_size(spec: EnvSpec) -> int:
    """Of `memory_inputs`."""
    return spec.obs_dim + spec.action_dim + 2


def memory_inputs(stats: normalize.Stats, obs: Array, action: Array, reward: Array, last: Array) -> Array:
    """What a memory sees, `[..., obs_dim + action_dim + 2]`: the observation, and of the step before reward, action, end."""
    return jnp.concatenate([normalize.apply(stats, _with_reward(obs, reward)), action, last[..., None]], axis=-1)


def _with_reward(obs: Array, reward: Array) -> Array:
    """`[..., obs_dim + 1]`."""
    return jnp.concatenate([obs, reward[..., None]], axis=-1)


def _flat(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])


def _time_first(x: Array) -> Array:
    return jnp.swapaxes(x, 0, 1)


def make_act(policy: Policy, stats: normalize.Stats, params: Params, params_axis: int | None) -> Act:
    """The function that `rollout.collect` calls.

    Args:
      policy: whose distribution to draw from.
      stats: statistics that standardise observations.
      params: of one policy for all tasks (`params_axis=None`) or one for each (`params_axis=0`, leaves `[N, ...]`).
      params_axis: see `params`.
    """

    def act(obs: Array, history: History, key: Key) -> tuple[Any, ActionSample]:
        step = jax.vmap(lambda p, o, h: policy.step(p, stats, o, h), in_axes=(params_axis, 0, 0))
        carry, dist = step(params, obs, history)
        return carry, decide(policy, dist, key)

    return act


def decide(policy: Policy, dist: Dist, key: Key) -> ActionSample:
    """A draw."""
    raw = policy.distribution.sample(key, dist)
    return ActionSample(raw, policy.distribution.to_env(raw), dist, policy.distribution.log_prob(dist, raw))


ACTIONS = {"sample": "drawn, as in training", "mode": "the most likely"}  # of judged episodes


def make_judged_act(actions: str, config: PolicyConfig, spec: EnvSpec) -> Callable[[Act], Act] | None:
    """What makes of a policy that adapts the one that is judged; None where they are one and the same.

    Args:
      actions: one of ACTIONS, ConfigError on any other.
      config: of the policy.
      spec: of the environment that it was trained on.
    """
    lookup(actions, ACTIONS, "choice of actions")
    if actions == "sample":
        return None
    distribution = _make_distribution(config, spec)
    return lambda act: by_mode(act, distribution)


def by_mode(act: Act, distribution: Distribution) -> Act:
    """`act` with the most likely draws in place of random ones; a memory is told what was done.

    Squashed actions are the images of the Gaussian's mode: the mode of their own density may lie at a bound.
    """

    def most_likely(obs: Array, history: History, key: Key) -> tuple[Any, ActionSample]:
        carry, sample = act(obs, history, key)
        raw = distribution.mode(sample.dist)
        return carry, ActionSample(raw, distribution.to_env(raw), sample.dist, distribution.log_prob(sample.dist, raw))

    return most_likely
