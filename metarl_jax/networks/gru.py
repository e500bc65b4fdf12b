"""GRU: the gated recurrent unit (Cho et al. 2014, arXiv:1406.1078), with the reset gate after the matrix, as in cuDNN."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ..types import DType
from .memory import MemoryConfig
from .orthogonal import orthogonal
from .recurrence import matmul, on_rows


class GRU(nn.Module):
    """h_t = (1 - z) n + z h_{t-1}, where n = tanh(W_n u + r (U_n h_{t-1} + b)), with gates r, z = sigmoid(W u + U h_{t-1})."""

    config: MemoryConfig
    dtype: DType

    def init_carry(self, batch_shape):
        return jnp.zeros((*batch_shape, self.config.width))

    @nn.compact
    def __call__(self, h, us):
        width = self.config.width
        recurrent = self.param("recurrent", orthogonal(1.0), (width, 3 * width))
        bias = self.param("bias", nn.initializers.zeros, (width,))

        def step(h, wu):
            (r_u, z_u, n_u), (r_h, z_h, n_h) = (
                jnp.split(x, 3, axis=-1) for x in (wu, matmul(h, recurrent, self.dtype))
            )
            r, z = nn.sigmoid(r_u + r_h), nn.sigmoid(z_u + z_h)
            n = jnp.tanh(n_u + r * (n_h + bias))
            h = (1.0 - z) * n + z * h
            return h, h

        return jax.lax.scan(step, h, on_rows(nn.Dense(3 * width, dtype=self.dtype), us))
