"""The inner loop: gradient steps on one task, through which the outer loop differentiates."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..types import Array, Params

Loss = Callable[[Params, Any], Array]  # parameters, batch of one task -> scalar


def inner_step(loss: Loss, params: Params, rates: Params, batch: Any, first_order: bool) -> tuple[Params, Array]:
    """theta' = theta - rate * grad loss(theta) (Finn et al. 2017, arXiv:1703.03400, eq. 1).

    Differentiable in `params` and `rates`, to second order unless `first_order`, which takes the gradient as a constant
    (FOMAML, section 5.2 of the paper).

    Args:
      loss: of one task.
      params: of one task.
      rates: a tree like `params` of learning rates, broadcast against them (Meta-SGD learns them, arXiv:1707.09835).
      batch: experience of one task, gathered with `params`.
      first_order: whether to stop gradients through the gradient.

    Returns:
      Adapted parameters, and the norm of the gradient.
    """
    grads = jax.grad(loss)(params, batch)
    if first_order:
        grads = jax.lax.stop_gradient(grads)
    return jax.tree.map(lambda p, r, g: p - r * g, params, rates, grads), optax.tree.norm(grads)


def adapt(
    loss: Loss, params: Params, rates: Params, batches: Sequence, first_order: bool, remat: bool = False
) -> tuple[Params, Array]:
    """K inner steps, one for each batch; returns adapted parameters and the mean gradient norm.

    With `remat`, a gradient through them computes each step a second time and keeps nothing of it but its parameters.
    """

    def step(params: Params, batch: Any) -> tuple[Params, Array]:
        return inner_step(loss, params, rates, batch, first_order)

    # Only in a loop does XLA put the second time off until it is needed; keeping everything, it does better without one.
    body = jax.checkpoint(step, prevent_cse=False) if remat else step
    batches = jax.tree.map(lambda *xs: jnp.stack(xs), *batches)
    params, norms = jax.lax.scan(body, params, batches, unroll=not remat)
    return params, norms.mean()


def flatten(params: Params) -> Array:
    """All parameters of N policies, leaves `[N, ...]`, as vectors `[N, D]`."""
    return jnp.concatenate([x.reshape(len(x), -1) for x in jax.tree.leaves(params)], axis=1)
