"""Action distributions: a diagonal Gaussian, plain or squashed by tanh into the action bounds, and a categorical.

A Gaussian's actions are its *raw* draws, which is what a rollout stores. `to_env` maps a raw action to what the environment
is given: [-1, 1] is stretched over the action bounds, so that one initial standard deviation suits all environments, and what
lies outside is clipped, or squashed before. Keeping the raw draw makes log-probabilities exact at the bounds, where the
squashed value has lost its digits. A categorical's raw draws are one-hot, as memories see them; environments get the index.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..types import Array, Key

_LOG_2PI = float(np.log(2.0 * np.pi))
# Nodes and weights for E[f(x)], x ~ N(0, 1): exact for polynomials up to degree 31.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(16)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Gaussian(NamedTuple):
    """Parameters of a diagonal Gaussian."""

    mean: Array  # [..., action_dim]
    log_std: Array  # [..., action_dim]


class Categorical(NamedTuple):
    """Parameters of a choice among `action_dim` actions."""

    logits: Array  # [..., action_dim], not normalised


Dist = Any  # a Gaussian or a Categorical


class Distribution(NamedTuple):
    """The functions of one kind of action distribution. All reduce over the last axis."""

    sample: Callable[[Key, Dist], Array]  # raw action [..., action_dim]
    mode: Callable[[Dist], Array]  # the most likely raw action [..., action_dim]
    log_prob: Callable[[Dist, Array], Array]  # of a raw action's image, [...]
    entropy: Callable[[Dist], Array]  # [...]
    kl: Callable[[Dist, Dist], Array]  # KL(p || q), [...]
    to_env: Callable[[Array], Array]  # raw action -> action within the environment's bounds, or its index [...]


def gaussian_sample(key: Key, dist: Gaussian) -> Array:
    """A draw, `[..., action_dim]`."""
    return dist.mean + jnp.exp(dist.log_std) * jax.random.normal(key, dist.mean.shape, dist.mean.dtype)


def gaussian_mode(dist: Gaussian) -> Array:
    """The mean, `[..., action_dim]`."""
    return dist.mean


def gaussian_log_prob(dist: Gaussian, action: Array) -> Array:
    """Logarithm of the density at raw actions `[..., action_dim]`, `[...]`."""
    z = (action - dist.mean) * jnp.exp(-dist.log_std)
    return jnp.sum(-0.5 * z**2 - dist.log_std - 0.5 * _LOG_2PI, axis=-1)


def gaussian_entropy(dist: Gaussian) -> Array:
    """In closed form, `[...]`, nats."""
    return jnp.sum(dist.log_std + 0.5 * (1.0 + _LOG_2PI), axis=-1)


def gaussian_kl(p: Gaussian, q: Gaussian) -> Array:
    """KL(p || q) of diagonal Gaussians, in closed form."""
    variance_ratio = jnp.exp(2.0 * (p.log_std - q.log_std))
    distance = (p.mean - q.mean) ** 2 * jnp.exp(-2.0 * q.log_std)
    return 0.5 * jnp.sum(variance_ratio + distance - 1.0 + 2.0 * (q.log_std - p.log_std), axis=-1)


def log_tanh_slope(raw: Array) -> Array:
    """log(1 - tanh(raw)^2), elementwise, without overflow or loss of digits."""
    return 2.0 * (jnp.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))


def make_gaussian(low: Array, high: Array) -> Distribution:
    """A Gaussian whose draws are clipped to +-1 and stretched over `[low, high]` (each `[action_dim]`).

    Densities are those of the draws. Where a bound is infinite, that action is the draw itself, clipped to the other bound.
    """
    scale, centre = (high - low) / 2.0, (high + low) / 2.0
    bounded = jnp.isfinite(scale)

    def to_env(raw: Array) -> Array:
        return jnp.clip(jnp.where(bounded, centre + scale * raw, raw), low, high)

    return Distribution(gaussian_sample, gaussian_mode, gaussian_log_prob, gaussian_entropy, gaussian_kl, to_env)


def make_tanh_gaussian(low: Array, high: Array) -> Distribution:
    """A Gaussian squashed by tanh and scaled into the finite bounds `[low, high]`.

    Densities are those of the squashed action. The entropy is the Gaussian's plus the mean log-slope of the squashing,
    by Gauss-Hermite quadrature: it has no closed form, and a sampled estimate would have no useful gradient. The KL is the
    Gaussians', since a bijection leaves it unchanged.
    """
    scale, centre = (high - low) / 2.0, (high + low) / 2.0
    log_scale = jnp.sum(jnp.log(scale))

    def log_prob(dist: Gaussian, raw: Array) -> Array:
        return gaussian_log_prob(dist, raw) - jnp.sum(log_tanh_slope(raw), axis=-1) - log_scale

    def entropy(dist: Gaussian) -> Array:
        raw = dist.mean[..., None] + jnp.exp(dist.log_std)[..., None] * jnp.asarray(_NODES, dist.mean.dtype)
        slope = jnp.sum(log_tanh_slope(raw) * jnp.asarray(_WEIGHTS, dist.mean.dtype), axis=-1)
        return gaussian_entropy(dist) + jnp.sum(slope, axis=-1) + log_scale

    def to_env(raw: Array) -> Array:
        return centre + scale * jnp.tanh(raw)

    return Distribution(gaussian_sample, gaussian_mode, log_prob, entropy, gaussian_kl, to_env)


def categorical_sample(key: Key, dist: Categorical) -> Array:
    """A draw, one-hot, `[..., num_actions]`."""
    return _one_hot(jax.random.categorical(key, dist.logits), dist)


def categorical_mode(dist: Categorical) -> Array:
    """The most likely action, one-hot, `[..., num_actions]`."""
    return _one_hot(jnp.argmax(dist.logits, axis=-1), dist)


def categorical_log_prob(dist: Categorical, action: Array) -> Array:
    """Logarithm of the probability of one-hot actions `[..., num_actions]`, `[...]`."""
    return jnp.sum(action * jax.nn.log_softmax(dist.logits), axis=-1)


def categorical_entropy(dist: Categorical) -> Array:
    """`[...]`, nats."""
    return -jnp.sum(jax.nn.softmax(dist.logits) * jax.nn.log_softmax(dist.logits), axis=-1)


def categorical_kl(p: Categorical, q: Categorical) -> Array:
    """KL(p || q)."""
    difference = jax.nn.log_softmax(p.logits) - jax.nn.log_softmax(q.logits)
    return jnp.sum(jax.nn.softmax(p.logits) * difference, axis=-1)


def _one_hot(index: Array, dist: Categorical) -> Array:
    return jax.nn.one_hot(index, dist.logits.shape[-1], dtype=dist.logits.dtype)


CATEGORICAL = Distribution(
    categorical_sample,
    categorical_mode,
    categorical_log_prob,
    categorical_entropy,
    categorical_kl,
    lambda raw: jnp.argmax(raw, axis=-1),
)

# By name, made of the bounds of actions, which discrete ones do not have.
DISTRIBUTIONS: dict[str, Callable[[Array, Array], Distribution]] = {
    "gaussian": make_gaussian,
    "tanh-gaussian": make_tanh_gaussian,
    "categorical": lambda low, high: CATEGORICAL,
}
