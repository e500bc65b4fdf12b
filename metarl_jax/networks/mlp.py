"""Multi-layer perceptron."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from .base import Network, NetworkConfig


class _MLP(nn.Module):
    config: NetworkConfig
    out_dim: int
    out_scale: float

    @nn.compact
    def __call__(self, x):
        for size in self.config.hidden:
            x = nn.Dense(size, kernel_init=nn.initializers.orthogonal(np.sqrt(2.0)))(x)
            if self.config.layer_norm:
                x = nn.LayerNorm()(x)
            x = getattr(jax.nn, self.config.activation)(x)
        return nn.Dense(self.out_dim, kernel_init=nn.initializers.orthogonal(self.out_scale))(x)


def make_mlp(config: NetworkConfig, out_dim: int, out_scale: float) -> Network:
    """`config.hidden` layers and a linear one of `out_dim` units."""
    module = _MLP(config, out_dim, out_scale)
    return Network(lambda key, in_dim: module.init(key, jnp.zeros(in_dim)), module.apply)
