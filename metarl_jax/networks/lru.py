"""LRU: the linear recurrent unit (Orvieto et al. 2023, arXiv:2303.06349)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..types import DType
from .memory import MemoryConfig
from .recurrence import diagonal

# Eigenvalues at the start: a ring near the unit circle, and slow rotations, remember for long (section 4.4 of the paper).
RADII = (0.9, 0.999)
MAX_PHASE = np.pi / 10.0


class LRU(nn.Module):
    """x_t = diag(lambda) x_{t-1} + gamma B u_t, y_t = Re(C x_t) + D u_t; lambda = exp(-exp(nu) + i exp(theta))."""

    config: MemoryConfig
    dtype: DType

    def init_carry(self, batch_shape):
        return jnp.zeros((*batch_shape, self.config.state // 2), complex)

    @nn.compact
    def __call__(self, x, us):
        width, pairs = self.config.width, self.config.state // 2
        nu = self.param("nu_log", _ring, pairs)
        theta = self.param("theta_log", lambda key: jnp.log(MAX_PHASE * jax.random.uniform(key, (pairs,))))
        # |lambda|^2 = exp(-2 exp(nu)): white noise as input gives states of variance 1 (section 3.4).
        gamma = self.param("gamma_log", lambda _: 0.5 * jnp.log1p(-jnp.exp(-2.0 * jnp.exp(nu))))
        b = lax.complex(*self.param("B", nn.initializers.normal(np.sqrt(0.5 / width)), (2, pairs, width)))
        c = lax.complex(*self.param("C", nn.initializers.normal(np.sqrt(1.0 / pairs)), (2, width, pairs)))
        d = self.param("D", nn.initializers.normal(1.0), (width,))
        lambda_ = jnp.exp(lax.complex(-jnp.exp(nu), jnp.exp(theta)))
        x, ys = diagonal(lambda_, jnp.exp(gamma)[:, None] * b, c, x, us, self.dtype)
        return x, ys + d * us


def _ring(key, pairs):
    """nu such that lambda is uniform on the area between the radii (lemma 3.2)."""
    low, high = RADII
    squared_radius = jax.random.uniform(key, (pairs,), minval=low**2, maxval=high**2)
    return jnp.log(-0.5 * jnp.log(squared_radius))
