"""Values as distributions over fixed atoms: "categorical" critics (C51, arXiv:1707.06887)."""

import jax
import jax.numpy as jnp

from ..types import Array


def atoms(count: int, limit: float) -> Array:
    """`count` values, evenly from `-limit` to `limit`."""
    return jnp.linspace(-limit, limit, count)


def project(values: Array, probs: Array, support: Array) -> Array:
    """The distribution with `probs` `[..., K]` at `values` `[..., K]`, spread over `support` `[K]`: `[..., K]`.

    Each value's probability goes to its two neighbours, the nearer the more, so that the mean is kept; what lies outside
    goes to the end (ibid., algorithm 1).
    """
    step = support[1] - support[0]
    inside = jnp.clip(values, support[0], support[-1])
    share = jnp.clip(1.0 - jnp.abs(inside[..., :, None] - support) / step, 0.0, 1.0)  # [..., K, K]
    return jnp.einsum("...i,...ij->...j", probs, share)


def cross_entropy(logits: Array, probs: Array) -> Array:
    """-sum p log softmax(logits) over the last axis."""
    return -jnp.sum(probs * jax.nn.log_softmax(logits, axis=-1), axis=-1)
