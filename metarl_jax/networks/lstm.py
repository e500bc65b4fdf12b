"""LSTM: long short-term memory (Hochreiter & Schmidhuber 1997), with forget gates (Gers et al. 2000)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ..types import DType
from .memory import MemoryConfig
from .orthogonal import orthogonal
from .recurrence import matmul, on_rows


class LSTM(nn.Module):
    """c_t = f c_{t-1} + i tanh(g), h_t = o tanh(c_t), where (i, f, o, g) = W u_t + U h_{t-1} + b, all but g through a sigmoid."""

    config: MemoryConfig
    dtype: DType

    def init_carry(self, batch_shape):
        zeros = jnp.zeros((2, *batch_shape, self.config.width))
        return zeros[0], zeros[1]  # two arrays, as a donated buffer must not occur twice

    @nn.compact
    def __call__(self, carry, us):
        width = self.config.width
        recurrent = self.param("recurrent", orthogonal(1.0), (width, 4 * width))

        def step(carry, wu):
            c, h = carry
            i, f, o, g = jnp.split(wu + matmul(h, recurrent, self.dtype), 4, axis=-1)
            # A bias of one: at first the gate forgets little (Jozefowicz et al. 2015).
            c = nn.sigmoid(f + 1.0) * c + nn.sigmoid(i) * jnp.tanh(g)
            h = nn.sigmoid(o) * jnp.tanh(c)
            return (c, h), h

        return jax.lax.scan(step, carry, on_rows(nn.Dense(4 * width, dtype=self.dtype), us))
