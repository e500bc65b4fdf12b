"""Residual blocks with LayerNorm (BroNet, arXiv:2405.16158; the critic of arXiv:2505.23150)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ..errors import ConfigError
from ..types import DType
from .base import Network, NetworkConfig
from .orthogonal import orthogonal


class _Residual(nn.Module):
    config: NetworkConfig
    out_dim: int
    out_scale: float
    dtype: DType

    @nn.compact
    def __call__(self, x, films=()):
        width, activation, films = self.config.hidden[0], getattr(jax.nn, self.config.activation), iter(films)

        def layer(x):
            x = nn.Dense(width, dtype=self.dtype, kernel_init=orthogonal(np.sqrt(2.0)))(x)
            return nn.LayerNorm(dtype=self.dtype)(x)

        def active(x):
            film = next(films, None)
            return activation(x if film is None else film.apply(x))

        x = active(layer(x))
        for _ in self.config.hidden:
            x = x + layer(active(layer(x)))
        return nn.Dense(self.out_dim, dtype=float, kernel_init=orthogonal(self.out_scale))(x)


def make_residual(config: NetworkConfig, out_dim: int, out_scale: float, dtype: DType) -> Network:
    """A layer, a block of two for each entry of `config.hidden`, which must all be equal, and a linear layer of `out_dim` units.

    LayerNorm is part of it, whatever `config.layer_norm` says.
    """
    if len(set(config.hidden)) > 1:
        raise ConfigError(f"a residual network adds its blocks up: hidden sizes must be equal, not {config.hidden}.")
    module: Any = _Residual(config, out_dim, out_scale, dtype)
    widths = (config.hidden[0], *config.hidden)
    return Network(lambda key, in_dim: module.init(key, jnp.zeros(in_dim)), module.apply, widths)
