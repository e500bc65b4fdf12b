"""S5: a diagonal state-space model with many inputs and outputs (Smith et al. 2023, arXiv:2208.04933)."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..types import DType
from .memory import MemoryConfig
from .recurrence import diagonal

STEP_SIZES = (1e-3, 1e-1)  # at the start: log-uniform in this range


class S5(nn.Module):
    """dx/dt = diag(lambda) x + B u, y = 2 Re(C x) + D u, discretised by a zero-order hold of u over learned steps."""

    config: MemoryConfig
    dtype: DType

    def init_carry(self, batch_shape):
        return jnp.zeros((*batch_shape, self.config.state // 2), complex)

    @nn.compact
    def __call__(self, x, us):
        width, pairs = self.config.width, self.config.state // 2
        # The real parts stay negative, the system stable, whatever is learned.
        log_decay = self.param("log_decay", lambda _: jnp.log(-hippo_legs(pairs)[0].real))
        frequency = self.param("frequency", lambda _: jnp.asarray(hippo_legs(pairs)[0].imag, float))
        b = lax.complex(*self.param("B", _init_b, pairs, width))
        c = lax.complex(*self.param("C", _init_c, pairs, width))
        d = self.param("D", nn.initializers.normal(1.0), (width,))
        step_size = jnp.exp(self.param("log_step", log_uniform, STEP_SIZES, (pairs,)))
        lambda_ = lax.complex(-jnp.exp(log_decay), frequency)
        a = jnp.exp(lambda_ * step_size)
        x, ys = diagonal(a, ((a - 1.0) / lambda_)[:, None] * b, 2.0 * c, x, us, self.dtype)
        return x, ys + d * us


@functools.cache
def hippo_legs(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues `[pairs]` and eigenvectors `[2 * pairs, pairs]` of the normal part of HiPPO-LegS (appendix B.1.1).

    A = S - 1/2 - P P^T with S skew-symmetric; S - 1/2 is normal. Its eigenvalues come in conjugate pairs, of which one each
    is kept.
    """
    n = np.arange(2 * pairs)
    p = np.sqrt(n + 0.5)
    skew = np.outer(p, p) * np.sign(n[None, :] - n[:, None])
    frequencies, vectors = np.linalg.eigh(-1j * skew)  # ascending
    return -0.5 + 1j * frequencies[pairs:], vectors[:, pairs:]


def _init_b(key, pairs, width):
    """V^-1 B (real and imaginary part, `[2, pairs, width]`) for a real B."""
    b = nn.initializers.lecun_normal(in_axis=1, out_axis=0)(key, (2 * pairs, width))
    b = hippo_legs(pairs)[1].conj().T @ b
    return jnp.stack([b.real, b.imag])


def _init_c(key, pairs, width):
    """C V (real and imaginary part, `[2, width, pairs]`) for a real C."""
    c = nn.initializers.lecun_normal(in_axis=1, out_axis=0)(key, (width, 2 * pairs))
    c = c @ hippo_legs(pairs)[1]
    return jnp.stack([c.real, c.imag])


def log_uniform(key, bounds, shape):
    """The logarithm of what is log-uniform within `bounds`."""
    low, high = np.log(bounds)
    return jax.random.uniform(key, shape, minval=low, maxval=high)
