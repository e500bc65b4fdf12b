"""Losses on one batch: every argument has shape `[B]`, every loss is a mean to be minimised."""

import jax.numpy as jnp

from ..types import Array


def log_prob_surrogate(log_prob: Array, log_prob_old: Array, advantage: Array) -> Array:
    """-E[log pi(a|s) A]: the policy gradient (Williams 1992), as in MAML (arXiv:1703.03400, eq. 4).

    Its gradient at the sampling policy is right, its Hessian is not: the dependence of the data on the policy is missing. Of
    centred advantages the expected curvature in a Gaussian's mean is -E[A] / sigma^2 = 0, so that MAML with it is FOMAML and
    the curvature of the network (ProMP, arXiv:1810.06784, section 5).
    """
    del log_prob_old
    return -jnp.mean(log_prob * advantage)


def ratio_surrogate(log_prob: Array, log_prob_old: Array, advantage: Array) -> Array:
    """-E[pi(a|s) / pi_old(a|s) A]: ProMP's low-variance curvature surrogate (arXiv:1810.06784, eq. 13).

    Same gradient at the sampling policy; its Hessian has the term that `log_prob_surrogate` misses: in expectation it is that
    of the return where an action does not change what later ones meet (else up to that dependence, ibid. theorem 1).
    """
    return -jnp.mean(jnp.exp(log_prob - log_prob_old) * advantage)


SURROGATES = {"log_prob": log_prob_surrogate, "ratio": ratio_surrogate}


def ppo_clip(log_prob: Array, log_prob_old: Array, advantage: Array, clip: float) -> Array:
    """-E[min(r A, clip(r, 1 - clip, 1 + clip) A)] (Schulman et al. 2017, arXiv:1707.06347, eq. 7)."""
    ratio = jnp.exp(log_prob - log_prob_old)
    return -jnp.mean(jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage))


def value_clip(value: Array, value_old: Array, target: Array, clip: float) -> Array:
    """Half the mean squared error, the worse of the plain one and that of a value held within +-clip of the old one.

    From the PPO reference implementation (openai/baselines `ppo2`). `clip` = inf is the plain loss.
    """
    error = (value - target) ** 2
    if clip < float("inf"):
        held = value_old + jnp.clip(value - value_old, -clip, clip)
        error = jnp.maximum(error, (held - target) ** 2)
    return 0.5 * jnp.mean(error)


def adapt_kl_coef(kl_coef: Array, kl: Array, target: float) -> Array:
    """Doubles the penalty's weight where KL exceeds 1.5 target, halves it below target / 1.5 (arXiv:1707.06347, sec. 4)."""
    factor = jnp.where(kl > 1.5 * target, 2.0, jnp.where(kl < target / 1.5, 0.5, 1.0))
    return jnp.clip(kl_coef * factor, 1e-6, 1e4)


def standardise(x: Array) -> Array:
    """Zero mean, unit variance over all entries."""
    return (x - x.mean()) / (x.std() + 1e-8)
