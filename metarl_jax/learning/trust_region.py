"""A step within a trust region (TRPO, Schulman et al. 2015, arXiv:1502.05477): natural gradient, then a line search."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.sparse.linalg import cg

from ..errors import ConfigError
from ..types import Array, Metrics, Params


@dataclasses.dataclass(frozen=True)
class TrustRegionConfig:
    """Knobs of a step of TRPO; the defaults are those of rllab, which published MAML used."""

    max_kl: float = 0.01
    """Bound on the mean KL(old || new) of a step."""
    damping: float = 1e-5
    """Added to the diagonal of the KL's Hessian, which is singular in most directions."""
    cg_iterations: int = 10
    """Most iterations of conjugate gradients; each takes one product of the Hessian and a vector."""
    backtrack_ratio: float = 0.8
    """By which the line search shortens a step that it refuses."""
    max_tries: int = 15
    """Most steps that the line search tries; where it refuses all of them, parameters stay as they are."""

    def __post_init__(self):
        if not 0.0 < self.max_kl < float("inf"):
            raise ConfigError(f"trust_region.max_kl must be positive and finite, not {self.max_kl}.")
        if not 0.0 <= self.damping < float("inf"):
            raise ConfigError(f"trust_region.damping must be finite and >= 0, not {self.damping}.")
        if min(self.cg_iterations, self.max_tries) < 1:
            raise ConfigError("trust_region.cg_iterations and trust_region.max_tries must be at least 1.")
        if not 0.0 < self.backtrack_ratio < 1.0:
            raise ConfigError(f"trust_region.backtrack_ratio must lie in (0, 1), not {self.backtrack_ratio}.")


class NaturalStep(NamedTuple):
    """The step down a gradient to the border of the trust region, as far as the KL is its quadratic model."""

    step: Params  # like the parameters: to be taken off them
    residual: Array  # []: |(H + damping) s - g| / |g| of conjugate gradients, 0 where they have solved it


class Search(NamedTuple):
    """What a line search has found so far."""

    params: Params  # the accepted ones; until there are such, the old ones
    parts: Metrics  # measured at these
    size: Array  # []: the part of the step that leads to them
    tries: Array  # [] int
    accepted: Array  # [] bool


def gauss_newton_product(
    outputs: Callable[[Params], Any], loss: Callable[[Any], Array], params: Params, vector: Params
) -> Params:
    """J' L J v: J the Jacobian of `outputs` at `params`, L the Hessian of `loss` there (Schraudolph 2002).

    The Hessian of `loss(outputs(params))` times v where the gradient of `loss` is 0, as that of a KL is at the old policy: half
    the work of differentiating the whole twice.
    """
    found, tangent = jax.jvp(outputs, (params,), (vector,))
    curved = jax.jvp(jax.grad(loss), (found,), (tangent,))[1]
    return jax.vjp(outputs, params)[1](curved)[0]


def natural_step(config: TrustRegionConfig, gradient: Params, product: Callable[[Params], Params]) -> NaturalStep:
    """sqrt(2 max_kl / s' H s) s, where H s = g by conjugate gradients (TRPO, appendix C).

    Args:
      config: see there; `damping` is part of H.
      gradient: g.
      product: of the KL's Hessian at the old parameters and a vector like them.
    """

    def damped(vector: Params) -> Params:
        return optax.tree.add_scale(product(vector), config.damping, vector)

    tiny = jnp.finfo(jnp.result_type(float)).tiny  # so that a gradient of 0 gives a step of 0
    s, _ = cg(damped, gradient, tol=1e-10, maxiter=config.cg_iterations)  # rllab's: in single precision, all iterations
    image = damped(s)
    size = jnp.sqrt(2.0 * config.max_kl / jnp.maximum(optax.tree.vdot(s, image), tiny))
    residual = optax.tree.norm(optax.tree.sub(image, gradient)) / jnp.maximum(optax.tree.norm(gradient), tiny)
    return NaturalStep(optax.tree.scale(size, s), residual)


def line_search(
    config: TrustRegionConfig,
    measure: Callable[[Params], Metrics],
    params: Params,
    before: Metrics,
    step: Params,
    longest: Array,
) -> Search:
    """The longest of the steps longest, longest * ratio, longest * ratio^2, ... that is an improvement within the region.

    Args:
      config: see there.
      measure: parameters -> metrics with the `surrogate` to be lowered, and the `kl` from the old ones; `[]` each.
      params: the old ones.
      before: `measure` of these.
      step: to be taken off them.
      longest: `[]`, the part of it that is tried first.

    Returns:
      The first parameters whose surrogate is below that before with a KL of at most `max_kl`; else the old ones.
    """

    def attempt(search: Search) -> Search:
        size = longest * config.backtrack_ratio**search.tries
        moved = optax.tree.add_scale(params, -size, step)
        parts = measure(moved)
        accepted = (parts["surrogate"] < before["surrogate"]) & (parts["kl"] <= config.max_kl)  # not where they are nan
        old = (params, before, jnp.zeros_like(size))
        chosen, parts, size = optax.tree.where(accepted, (moved, parts, size), old)
        return Search(chosen, parts, size, search.tries + 1, accepted)

    def goes_on(search: Search) -> Array:
        return ~search.accepted & (search.tries < config.max_tries)

    nothing = Search(params, before, jnp.zeros_like(longest), jnp.zeros((), int), jnp.zeros((), bool))
    return jax.lax.while_loop(goes_on, attempt, nothing)
