"""Linear recurrences, which state-space models are made of: step by step, or all steps at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..types import Array, DType

Elements = Callable[[Any], tuple[Array, Array]]
Readout = Callable[[Array, Any], Array]


def linear_recurrence(elements: Elements, readout: Readout, x: Array, inputs: Any) -> tuple[Array, Array]:
    """x_t = a_t x_{t-1} + b_t, elementwise, with a_t, b_t = elements(inputs_t); y_t = readout(x_t, inputs_t).

    Args:
      elements: gives a_t and b_t of one step, which broadcast to the shape of x.
      readout: of one step.
      x: `[*B, ...]`, the state before the first step.
      inputs: a pytree of `[T, ...]`.

    Returns:
      The last state, and y `[T, ...]`.
    """
    # On CPU, forward and backward with `associative` takes, of the time with `sequential`: 1.2 (S5, batch 64, 1024 steps,
    # width 128), 1.2 (64 by 128), 1.1 to 1.4 (640 by 200), 2.8 (selective, 64 by 250), and 2 to 10 times the compilation.
    # An accelerator idles while it does one small step after the other.
    scan = sequential if jax.default_backend() == "cpu" else associative
    return scan(elements, readout, x, inputs)


def sequential(elements, readout, x, inputs):
    """`linear_recurrence` in T steps, which do the least work."""

    def step(x, now):
        a, b = elements(now)
        x = a * x + b
        return x, readout(x, now)

    return lax.scan(step, x, inputs)


def associative(elements, readout, x, inputs):
    """`linear_recurrence` in log T steps (Blelloch 1990), of twice the work and several times the memory."""

    def compose(first, then):
        return then[0] * first[0], then[0] * first[1] + then[1]

    a, b = jax.vmap(lambda now: jnp.broadcast_arrays(*elements(now)))(inputs)
    _, xs = lax.associative_scan(compose, (a, b.at[0].add(a[0] * x)))
    return xs[-1], jax.vmap(readout)(xs, inputs)


def diagonal(a: Array, b: Array, c: Array, x: Array, us: Array, dtype: DType) -> tuple[Array, Array]:
    """x_t = diag(a) x_{t-1} + b u_t, y_t = Re(c x_t).

    Args:
      a: complex, `[P]`.
      b: complex, `[P, H]`.
      c: complex, `[H, P]`.
      x: complex, `[*B, P]`.
      us: real, `[T, *B, H]`.
      dtype: of the products with b and c; the recurrence itself is in float32.

    Returns:
      The last state, and y `[T, *B, H]`.
    """

    # Sequences are real, [..., 2P]: complex ones would have to be taken apart for every matrix product.
    def elements(bu):
        return a, lax.complex(*jnp.split(bu, 2, axis=-1))

    def readout(x, _):
        return jnp.concatenate([x.real, x.imag], axis=-1)

    b, c = jnp.concatenate([b.real, b.imag]).T, jnp.concatenate([c.real, -c.imag], axis=1).T
    x, xs = linear_recurrence(elements, readout, x, on_rows(lambda u: matmul(u, b, dtype), us))
    return x, on_rows(lambda x: matmul(x, c, dtype), xs)


def on_rows(product: Callable[[Array], Array], xs: Array) -> Array:
    """`product` of a sequence `[T, *B, H]` as one matrix `[T * B, H]`, of which XLA on CPU takes the gradient twice as fast.

    Whatever it is computed in, it is float32 from here on: gates near one and sums over time need its digits.
    """
    return product(xs.reshape(-1, xs.shape[-1])).reshape(*xs.shape[:-1], -1).astype(float)


def matmul(x: Array, w: Array, dtype: DType) -> Array:
    """`x @ w`, both rounded to `dtype`."""
    return x.astype(dtype) @ w.astype(dtype)
