"""How networks are told which task of a suite it is, of observations that end with a label (`EnvSpec.num_labels`)."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..errors import ConfigError
from ..types import Array, EnvSpec, Key, Params
from .base import Network


@dataclasses.dataclass(frozen=True)
class LabelConfig:
    """What actor and critics make of the label at the end of observations."""

    embedding: int = 0
    """Size of a vector of length 1 for each task, learned by the critics alone (arXiv:2505.23150), that they see in the label's
    place. 0: they see the label."""
    heads: bool = False
    """A last layer of their own for each task."""

    def __post_init__(self):
        if self.embedding < 0:
            raise ConfigError(f"label.embedding must be at least 0, not {self.embedding}.")


class Inputs(NamedTuple):
    """What actor and critics see in the place of observations, and their networks for it."""

    init: Callable[[Key], Params]  # what is learned: the vectors [num_labels, embedding]; () of none
    see: Callable[[Params, Array], Array]  # observations [..., obs_dim] -> what networks see [..., obs_dim + added]
    added: int
    network: Callable[[Callable[[int], Network], int], Network]  # a network by the size of its output, and that size
    condition: int = 0  # so many numbers at their end are what networks can be conditioned on


def make_inputs(config: LabelConfig, spec: EnvSpec) -> Inputs:
    """See `LabelConfig`; ConfigError where something is to be made of a label that observations do not have."""
    count = spec.num_labels
    if (config.embedding or config.heads) and not count:
        raise ConfigError(
            f"label.embedding and label.heads need observations that say which task it is, and those of {spec.name!r} do not: "
            "take a suite that does, such as metaworld/MT10/one-hot, or leave them out."
        )

    def init(key: Key) -> Params:
        return jax.random.normal(key, (count, config.embedding)) if config.embedding else ()

    def see(vectors: Params, obs: Array) -> Array:
        if not config.embedding:
            return obs
        vectors = vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
        seen = [obs[..., :-count], vectors[index(obs, count)]]
        return jnp.concatenate(seen + [obs[..., -count:]] * config.heads, axis=-1)

    def network(make: Callable[[int], Network], out_dim: int) -> Network:
        return with_heads(make, out_dim, count) if config.heads else make(out_dim)

    added = config.embedding - count * (not config.heads) if config.embedding else 0
    return Inputs(init, see, added, network)


def with_heads(make: Callable[[int], Network], out_dim: int, num_labels: int) -> Network:
    """A network by the size of its output, with a last layer of `out_dim` units for each label that its inputs may end with."""
    network = make(out_dim * num_labels)

    def apply(params: Params, inputs: Array) -> Array:
        outputs = network.apply(params, inputs)
        outputs = outputs.reshape(*outputs.shape[:-1], num_labels, out_dim)
        return jnp.take_along_axis(outputs, index(inputs, num_labels)[..., None, None], axis=-2)[..., 0, :]

    return Network(network.init, apply)


def index(inputs: Array, num_labels: int) -> Array:
    """Which task it is, of inputs `[..., size]` that end with a label; standardised, all of it but one number is below 0."""
    return jnp.argmax(inputs[..., -num_labels:], axis=-1)
