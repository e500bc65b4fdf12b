"""What is known of a task: a Gaussian over a latent, of factors that evidence adds (PEARL, arXiv:1903.08254)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..networks import NetworkConfig, make_network
from ..types import Array, Key, Params


class Belief(NamedTuple):
    """A Gaussian with a diagonal covariance, by its natural parameters: those of a product are the sums of its factors'."""

    precision: Array  # [..., L], 1 / variance
    shift: Array  # [..., L], mean / variance

    @property
    def mean(self) -> Array:
        return self.shift / self.precision

    @property
    def std(self) -> Array:
        return self.precision**-0.5

    def add(self, other: "Belief") -> "Belief":
        """The product of both, normalised."""
        return Belief(self.precision + other.precision, self.shift + other.shift)


def prior(size: int) -> Belief:
    """A standard Gaussian of `size` numbers."""
    return Belief(jnp.ones(size), jnp.zeros(size))


def sample(belief: Belief, key: Key, shape: tuple[int, ...]) -> Array:
    """Draws `[*shape, L]`, broadcast against the belief's axes."""
    return belief.mean + belief.std * jax.random.normal(key, (*shape, belief.mean.shape[-1]))


def kl_to_prior(belief: Belief) -> Array:
    """KL of a belief `[..., L]` from the prior, summed over the latent, `[...]`."""
    variance = 1.0 / belief.precision
    return 0.5 * jnp.sum(variance + belief.mean**2 - 1.0 - jnp.log(variance), axis=-1)


class Encoder(NamedTuple):
    """What evidence says of a task."""

    init: Callable[[Key], Params]
    apply: Callable[[Params, Array], Belief]  # evidence [..., C, in_dim] -> the product of its C factors [..., L]


def make_encoder(config: NetworkConfig, in_dim: int, size: int, compute_dtype: str) -> Encoder:
    """A network that gives a Gaussian factor of each piece of evidence, whatever their order."""
    network = make_network(config, 2 * size, 1.0, compute_dtype)

    def apply(params: Params, evidence: Array) -> Belief:
        mean, scale = jnp.split(network.apply(params, evidence), 2, axis=-1)
        precision = 1.0 / jnp.maximum(jax.nn.softplus(scale), 1e-7)
        return Belief(precision.sum(axis=-2), (mean * precision).sum(axis=-2))

    return Encoder(lambda key: network.init(key, in_dim), apply)
