"""A policy: a network, an action distribution, and the environment's bounds."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import normalize
from .distributions import DISTRIBUTIONS, Distribution, Gaussian
from .errors import ConfigError, lookup
from .networks import NetworkConfig, make_network
from .rollout import ActionSample
from .types import Array, EnvSpec, Key, Params, Transition


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """What the policy is made of."""

    network: NetworkConfig = NetworkConfig()
    """Network that gives the mean action."""
    distribution: str = "gaussian"
    """`gaussian`: draws are clipped to the action bounds; `tanh-gaussian`: squashed into them, which must be finite.
    Either way, a draw of 1 is the upper bound."""
    init_log_std: float = 0.0
    """Logarithm of the standard deviation at the start, the same in all states, learned."""
    min_log_std: float = -2.0
    """Lower bound of the logarithm of the standard deviation."""
    max_log_std: float = 1.0
    """Upper bound of the logarithm of the standard deviation."""
    normalize_obs: bool = False
    """Standardise observations by their running mean and variance."""

    def __post_init__(self):
        if not -np.inf < self.min_log_std < self.init_log_std < self.max_log_std < np.inf:
            raise ConfigError(
                f"policy init_log_std {self.init_log_std} must lie between finite min_log_std {self.min_log_std} and "
                f"max_log_std {self.max_log_std}."
            )


class Policy(NamedTuple):
    """A policy as pure functions."""

    init: Callable[[Key], Params]
    dist: Callable[[Params, Array], Gaussian]  # obs [..., obs_dim]
    distribution: Distribution
    observe: Callable[[normalize.Stats, list[Transition]], normalize.Stats]  # takes note of what was observed


def make_policy(config: PolicyConfig, spec: EnvSpec) -> Policy:
    """Builds the policy for an environment; ConfigError where the distribution does not fit its action space."""
    make_distribution = lookup(config.distribution, DISTRIBUTIONS, "action distribution")
    low, high = np.array(spec.action_low), np.array(spec.action_high)
    if config.distribution == "tanh-gaussian" and not np.isfinite([low, high]).all():
        raise ConfigError(
            f"policy.distribution 'tanh-gaussian' squashes into finite action bounds, but {spec.name!r} has bounds "
            f"{low.tolist()} to {high.tolist()}: set policy.distribution to 'gaussian'."
        )
    # A small last layer: first actions are near zero whatever the observation.
    network = make_network(config.network, spec.action_dim, out_scale=0.01)
    lowest, span = config.min_log_std, config.max_log_std - config.min_log_std

    def init(key: Key) -> Params:
        share = (config.init_log_std - lowest) / span
        return {
            "mean": network.init(key, spec.obs_dim),
            "log_std_logit": jnp.full(spec.action_dim, np.log(share / (1.0 - share)), float),
        }

    def dist(params: Params, obs: Array) -> Gaussian:
        mean = network.apply(params["mean"], obs)
        # A sigmoid, not a clip: at a bound a clip has no gradient and never comes back.
        log_std = lowest + span * jax.nn.sigmoid(params["log_std_logit"])
        return Gaussian(mean, jnp.broadcast_to(log_std, mean.shape))

    def observe(stats: normalize.Stats, rounds: list[Transition]) -> normalize.Stats:
        if config.normalize_obs:
            for transitions in rounds:
                stats = normalize.merge(stats, normalize.of_batch(transitions.obs_tm1))
        return stats

    return Policy(init, dist, make_distribution(jnp.asarray(low, float), jnp.asarray(high, float)), observe)


def make_act(policy: Policy, stats: normalize.Stats, params: Params, params_axis: int | None) -> Callable:
    """The function that `rollout.collect` calls: obs `[N, E, obs_dim]`, key -> ActionSample of `[N, E]`.

    Args:
      policy: whose distribution to draw from.
      stats: statistics that standardise observations.
      params: of one policy for all tasks (`params_axis=None`) or one for each (`params_axis=0`, leaves `[N, ...]`).
      params_axis: see `params`.
    """

    def act(obs: Array, key: Key) -> ActionSample:
        dist = jax.vmap(policy.dist, in_axes=(params_axis, 0))(params, normalize.apply(stats, obs))
        raw = policy.distribution.sample(key, dist)
        return ActionSample(raw, policy.distribution.to_env(raw), dist, policy.distribution.log_prob(dist, raw))

    return act
