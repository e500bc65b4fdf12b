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


def symexp(x: Array) -> Array:
    """sign(x) (exp(|x|) - 1): near 0 the identity, exponential far from it (arXiv:2301.04104, eq. 9)."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def two_hot(values: Array, support: Array) -> Array:
    """Distributions `[..., K]` over an increasing `support` `[K]` whose means are `values` `[...]`, clipped to it.

    Of the two neighbours of a value alone, the nearer one has the more (arXiv:2301.04104, eq. 10).
    """
    values = jnp.clip(values, support[0], support[-1])
    above = jnp.clip(jnp.searchsorted(support, values, side="right"), 1, len(support) - 1)
    share = (values - support[above - 1]) / (support[above] - support[above - 1])
    ends = jax.nn.one_hot(above - 1, len(support)), jax.nn.one_hot(above, len(support))
    return (1.0 - share)[..., None] * ends[0] + share[..., None] * ends[1]


def cross_entropy(logits: Array, probs: Array) -> Array:
    """-sum p log softmax(logits) over the last axis."""
    return -jnp.sum(probs * jax.nn.log_softmax(logits, axis=-1), axis=-1)
