"""Networks that a condition (what a memory or a belief says) modulates.

Both forms begin as the plain network, whatever the condition (Bias-HyperInit, arXiv:2210.11348): what it adds is a linear map
that begins at 0.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from ..types import Array, Key, Params
from .base import Film, Network

Condition = Literal["input", "film", "generated"]


def make_conditioned(kind: Condition, network: Network, size: int) -> Network:
    """A network of inputs `[..., in_dim + size]` that end with a condition `[..., size]`.

    Args:
      kind: "input": the condition is an input as any other; "film": it scales and shifts hidden layers (FiLM,
        arXiv:1709.07871); "generated": it adds to every weight and bias (a hypernetwork, arXiv:1609.09106).
      network: plain.
      size: of the condition.
    """
    return {"input": lambda network, size: network, "film": _film, "generated": _generated}[kind](network, size)


def _film(network: Network, size: int) -> Network:
    def init(key: Key, in_dim: int) -> Params:
        films = [Film(jnp.zeros((size, width)), jnp.zeros((size, width))) for width in network.widths]
        return {"plain": network.init(key, in_dim - size), "film": films}

    def apply(params: Params, inputs: Array) -> Array:
        x, condition = inputs[..., :-size], inputs[..., -size:]
        films = [Film(condition @ film.scale, condition @ film.shift) for film in params["film"]]
        return network.apply(params["plain"], x, films)

    return Network(init, apply)


def _generated(network: Network, size: int) -> Network:
    def init(key: Key, in_dim: int) -> Params:
        plain = network.init(key, in_dim - size)
        return {"plain": plain, "generated": jax.tree.map(lambda x: jnp.zeros((size, *x.shape), x.dtype), plain)}

    def apply(params: Params, inputs: Array) -> Array:
        def of_one(inputs: Array) -> Array:
            x, condition = inputs[:-size], inputs[-size:]
            add = jax.tree.map(lambda weight: jnp.tensordot(condition, weight, axes=1), params["generated"])
            return network.apply(jax.tree.map(jnp.add, params["plain"], add), x)

        outputs = jax.vmap(of_one)(inputs.reshape(-1, inputs.shape[-1]))
        return outputs.reshape(*inputs.shape[:-1], -1)

    return Network(init, apply)
