"""Running mean and variance, mergeable in any order (Chan et al. 1983)."""

from typing import NamedTuple

import jax.numpy as jnp

from ..types import Array


class Stats(NamedTuple):
    """What is known of a stream of vectors."""

    count: Array  # type: ignore[assignment]  # []; it hides the method `count` of tuples, which nobody calls
    mean: Array  # [D]
    sum_square: Array  # [D], sum of squared deviations from the mean


def init(size: int) -> Stats:
    """Statistics of `size` numbers of which nothing has been seen."""
    return Stats(jnp.zeros(()), jnp.zeros(size), jnp.zeros(size))


def of_batch(x: Array) -> Stats:
    """Statistics of `x`, `[..., D]`, over all leading axes."""
    x = x.reshape(-1, x.shape[-1])
    mean = x.mean(axis=0)
    return Stats(jnp.asarray(x.shape[0], x.dtype), mean, jnp.sum((x - mean) ** 2, axis=0))


def merge(a: Stats, b: Stats) -> Stats:
    """Statistics of both streams together."""
    count = a.count + b.count
    share = b.count / jnp.maximum(count, 1.0)
    delta = b.mean - a.mean
    return Stats(count, a.mean + share * delta, a.sum_square + b.sum_square + delta**2 * a.count * share)


def apply(stats: Stats, x: Array, limit: float = 10.0) -> Array:
    """`x` `[..., D]` standardised and clipped to +-limit; unchanged while nothing has been seen."""
    return jnp.where(stats.count > 0, jnp.clip((x - stats.mean) / _std(stats), -limit, limit), x)


def undo(stats: Stats, x: Array) -> Array:
    """What `apply` made `x` of, where it did not clip it."""
    return jnp.where(stats.count > 0, x * _std(stats) + stats.mean, x)


def _std(stats: Stats) -> Array:
    return jnp.sqrt(stats.sum_square / jnp.maximum(stats.count, 1.0) + 1e-8)
