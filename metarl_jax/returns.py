"""Returns, advantages and the linear baseline: one equation, one unbatched function."""

import jax
import jax.numpy as jnp

from .types import Array


def discounted_returns(reward_t: Array, discount_t: Array, bootstrap: Array) -> Array:
    """G_t = r_t + d_t G_{t+1}, with `bootstrap` standing for G after the last step.

    Args:
      reward_t: `[T]`.
      discount_t: `[T]`, gamma times 0 where an episode ended.
      bootstrap: `[]`.

    Returns:
      `[T]`, the return that starts with reward_t.
    """

    def step(return_tp1, inputs):
        reward, discount = inputs
        return_t = reward + discount * return_tp1
        return return_t, return_t

    _, returns = jax.lax.scan(step, bootstrap, (reward_t, discount_t), reverse=True)
    return returns


def gae(
    reward_t: Array, discount_t: Array, continues_t: Array, value_tm1: Array, value_t: Array, lambda_: float
) -> Array:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16).

    A_t = delta_t + continues_t * discount_t * lambda * A_{t+1}, delta_t = r_t + discount_t V(s_t) - V(s_{t-1}).

    Args:
      reward_t: `[T]`.
      discount_t: `[T]`, gamma times 0 where the task terminated; a time limit leaves it at gamma, so that the value of
        the episode's last state still bootstraps.
      continues_t: `[T]`, 0 where the episode ended for either reason: the next row is another episode's.
      value_tm1: `[T]`, value of the state each action was taken in.
      value_t: `[T]`, value of the state it led to.
      lambda_: in [0, 1].

    Returns:
      Advantages, `[T]`.
    """
    delta_t = reward_t + discount_t * value_t - value_tm1
    return discounted_returns(delta_t, lambda_ * discount_t * continues_t, jnp.zeros_like(delta_t[0]))


def linear_features(obs: Array, time: Array) -> Array:
    """Features of the linear baseline (Duan et al. 2016, arXiv:1604.06778): obs, obs^2, t, t^2, t^3, 1 with t in hundreds.

    Args:
      obs: `[obs_dim]`, clipped to +-10 here.
      time: `[]`, steps since the episode began.

    Returns:
      `[2 * obs_dim + 4]`.
    """
    obs = jnp.clip(obs, -10.0, 10.0)
    t = time / 100.0
    return jnp.concatenate([obs, obs**2, jnp.stack([t, t**2, t**3, jnp.ones_like(t)])])


def fit_linear_baseline(features: Array, returns: Array, ridge: float = 1e-5) -> Array:
    """Ridge regression of returns on features.

    Args:
      features: `[B, F]`.
      returns: `[B]`.
      ridge: weight of the penalty, relative to the mean square of the features, so that scale does not matter.

    Returns:
      Weights `[F]`.
    """
    gram = features.T @ features
    penalty = ridge * jnp.trace(gram) / features.shape[1]
    return jnp.linalg.solve(gram + penalty * jnp.eye(features.shape[1]), features.T @ returns)
