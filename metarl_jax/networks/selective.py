"""Selective state-space model (Mamba, Gu & Dao 2023, arXiv:2312.00752): what it keeps depends on the input."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ..types import DType
from .memory import MemoryConfig
from .recurrence import linear_recurrence, on_rows
from .s5 import STEP_SIZES, log_uniform

KERNEL = 4  # inputs that the convolution sees
CHUNK = 32  # steps whose states are in memory together; on CPU as fast as 16, and 15 % faster than 64


class Selective(nn.Module):
    """Mamba's path: projection, causal convolution, SiLU, selective scan, projection; its gate is that of the stack.

    Each feature u has its own states: x_t = exp(delta_t A) x_{t-1} + delta_t B_t u_t, y_t = C_t x_t + D u_t, where the step
    delta and the vectors B and C are functions of the input (algorithm 2).
    """

    config: MemoryConfig
    dtype: DType

    def init_carry(self, batch_shape):
        width, state = self.config.width, self.config.state
        return jnp.zeros((*batch_shape, KERNEL - 1, width)), jnp.zeros((*batch_shape, state, width))

    @nn.compact
    def __call__(self, carry, us):
        width, state = self.config.width, self.config.state
        window, x = carry
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (KERNEL, width))
        bias = self.param("bias", nn.initializers.zeros, (width,))
        window, us = causal_convolution(kernel, window, on_rows(self._linear(width), us))
        us = nn.silu(us + bias)

        rank = -(-width // 16)  # of the map to delta, as in the paper
        low_rank, b, c = jnp.split(on_rows(self._linear(rank + 2 * state), us), [rank, rank + state], axis=-1)
        # In float32 whatever `dtype` is: rounded, the steps would be wrong by a hundredth.
        delta = nn.softplus(on_rows(nn.Dense(width, bias_init=_init_step_bias), low_rank))
        a = -jnp.exp(self.param("A_log", lambda _: jnp.log(jnp.arange(1.0, state + 1.0))[:, None] * jnp.ones(width)))
        d = self.param("D", nn.initializers.ones, (width,))
        x, ys = selective_scan(a, x, delta, b, c, us)
        return (window, x), on_rows(self._linear(width), ys + d * us)

    def _linear(self, size):
        return nn.Dense(size, use_bias=False, dtype=self.dtype)


def causal_convolution(kernel, window, us):
    """y_t = sum_j kernel_j u_{t-j}, feature by feature.

    Args:
      kernel: `[K, width]`.
      window: `[*B, K - 1, width]`, the inputs before the first.
      us: `[T, *B, width]`.

    Returns:
      The window that the next call needs, and y `[T, *B, width]`.
    """
    past, length = len(kernel) - 1, len(us)
    us = jnp.concatenate([jnp.moveaxis(window, -2, 0), us])
    ys = sum(k * us[past - j : past - j + length] for j, k in enumerate(kernel))
    return jnp.moveaxis(us[length:], 0, -2), ys


def selective_scan(a, x, delta, b, c, us):
    """The selective recurrence; states are made, and made again for the gradient, a chunk of the sequence at a time.

    Args:
      a: `[state, width]`.
      x: `[*B, state, width]`.
      delta: `[T, *B, width]`.
      b: `[T, *B, state]`.
      c: `[T, *B, state]`.
      us: `[T, *B, width]`.

    Returns:
      The last state, and y `[T, *B, width]`.
    """

    def elements(now):
        delta, delta_u, b, _ = now
        return jnp.exp(delta[..., None, :] * a), b[..., None] * delta_u[..., None, :]

    def readout(x, now):
        return (now[3][..., None] * x).sum(axis=-2)

    @jax.checkpoint
    def chunk(x, now):
        return linear_recurrence(elements, readout, x, now)

    length, size = len(us), min(CHUNK, len(us))

    def in_chunks(x):  # padded with zeros: a step of length zero changes nothing
        x = jnp.pad(x, [(0, -length % size)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(-1, size, *x.shape[1:])

    x, ys = jax.lax.scan(chunk, x, jax.tree.map(in_chunks, (delta, delta * us, b, c)))
    return x, ys.reshape(-1, *us.shape[1:])[:length]


def _init_step_bias(key, shape, dtype):
    """Such that softplus gives step sizes that are log-uniform in STEP_SIZES."""
    step_size = jnp.exp(log_uniform(key, STEP_SIZES, shape)).astype(dtype)
    return step_size + jnp.log(-jnp.expm1(-step_size))
