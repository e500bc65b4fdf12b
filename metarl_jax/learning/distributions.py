"""Action distributions: a diagonal Gaussian, plain or squashed by tanh into the action bounds.

A distribution's parameters are a `Gaussian` record; its actions are the *raw* draws of that Gaussian, which is what a
rollout stores. `to_env` maps a raw action to what the environment is given: [-1, 1] is stretched over the action bounds,
so that one initial standard deviation suits all environments, and what lies outside is clipped, or squashed before.
Keeping the raw draw makes log-probabilities exact at the bounds, where the squashed value has lost its digits.
"""

from collections.abc import Callable
from typing import NamedTuple

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


class Distribution(NamedTuple):
    """The functions of one kind of action distribution. All reduce over the last axis."""

    sample: Callable[[Key, Gaussian], Array]  # raw action [..., action_dim]
    log_prob: Callable[[Gaussian, Array], Array]  # of a raw action's image, [...]
    entropy: Callable[[Gaussian], Array]  # [...]
    kl: Callable[[Gaussian, Gaussian], Array]  # KL(p || q), [...]
    to_env: Callable[[Array], Array]  # raw action -> action within the environment's bounds


def gaussian_sample(key: Key, dist: Gaussian) -> Array:
    return dist.mean + jnp.exp(dist.log_std) * jax.random.normal(key, dist.mean.shape, dist.mean.dtype)


def gaussian_log_prob(dist: Gaussian, action: Array) -> Array:
    z = (action - dist.mean) * jnp.exp(-dist.log_std)
    return jnp.sum(-0.5 * z**2 - dist.log_std - 0.5 * _LOG_2PI, axis=-1)


def gaussian_entropy(dist: Gaussian) -> Array:
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

    return Distribution(gaussian_sample, gaussian_log_prob, gaussian_entropy, gaussian_kl, to_env)


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

    return Distribution(gaussian_sample, log_prob, entropy, gaussian_kl, lambda raw: centre + scale * jnp.tanh(raw))


DISTRIBUTIONS = {"gaussian": make_gaussian, "tanh-gaussian": make_tanh_gaussian}
