"""Multi-layer perceptron."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ..types import DType
from .base import Network, NetworkConfig
from .orthogonal import orthogonal


class _MLP(nn.Module):
    config: NetworkConfig
    out_dim: int
    out_scale: float
    dtype: DType

    @nn.compact
    def __call__(self, x, films=()):
        for i, size in enumerate(self.config.hidden):
            x = nn.Dense(size, dtype=self.dtype, kernel_init=orthogonal(np.sqrt(2.0)))(x)
            if self.config.layer_norm:
                x = nn.LayerNorm(dtype=self.dtype)(x)
            x = films[i].apply(x) if films else x
            x = getattr(jax.nn, self.config.activation)(x)
        # In float32 whatever `dtype` is: advantages are small differences of values.
        return nn.Dense(self.out_dim, dtype=float, kernel_init=orthogonal(self.out_scale))(x)


def make_mlp(config: NetworkConfig, out_dim: int, out_scale: float, dtype: DType) -> Network:
    """`config.hidden` layers, computed in `dtype`, and a linear one of `out_dim` units."""
    module: Any = _MLP(config, out_dim, out_scale, dtype)  # flax's types leave open what `apply` gives
    return Network(lambda key, in_dim: module.init(key, jnp.zeros(in_dim)), module.apply, config.hidden)
