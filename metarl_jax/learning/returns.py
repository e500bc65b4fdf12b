"""Returns, advantages and the linear baseline: one equation, one unbatched function."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..errors import ConfigError
from ..types import Array, Transition


def discounted_returns(reward_t: Array, discount_t: Array) -> Array:
    """G_t = r_t + d_t G_{t+1}, where nothing follows the last step.

    Args:
      reward_t: `[T]`.
      discount_t: `[T]`, gamma times 0 where an episode ended.

    Returns:
      `[T]`, the return that starts with reward_t.
    """

    def step(return_tp1, inputs):
        reward, discount = inputs
        return_t = reward + discount * return_tp1
        return return_t, return_t

    _, returns = jax.lax.scan(step, jnp.zeros_like(reward_t[0]), (reward_t, discount_t), reverse=True)
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
    return discounted_returns(delta_t, lambda_ * discount_t * continues_t)


class NStep(NamedTuple):
    """What up to n steps from a state on earned, and where they led."""

    reward: Array  # [T], discounted to the first step
    discount: Array  # [T], of the value of the state that they led to: gamma^m, 0 where the task terminated
    end: Array  # [T] int: the step that led there, counted as the arguments are


def n_step(reward_t: Array, terminated_t: Array, last_t: Array, gamma: float, n: int) -> NStep:
    """Sums up to `n` rewards from each step on: fewer where the episode, or these `[T]` steps, end before.

    A time limit leaves the discount as it is, so that the value of the episode's last state still bootstraps.
    """
    num_steps = len(reward_t)
    start = jnp.arange(num_steps)
    so_far = NStep(jnp.zeros_like(reward_t), jnp.ones_like(reward_t), start)
    going = jnp.ones(num_steps, bool)
    for k in range(n):
        at = jnp.minimum(start + k, num_steps - 1)
        going &= start + k < num_steps
        one_more = NStep(
            so_far.reward + so_far.discount * reward_t[at], so_far.discount * gamma * (1.0 - terminated_t[at]), at
        )
        so_far = jax.tree.map(lambda new, old, going=going: jnp.where(going, new, old), one_more, so_far)
        going &= ~last_t[at]
    return so_far


def linear_features(obs: Array, time: Array) -> Array:
    """Features of the linear baseline (Duan et al. 2016, arXiv:1604.06778): obs, obs^2, t, t^2, t^3 with t in hundreds.

    Args:
      obs: `[obs_dim]`, clipped to +-10 here.
      time: `[]`, steps since the episode began.

    Returns:
      `[2 * obs_dim + 3]`; the constant is the intercept of the fit.
    """
    obs = jnp.clip(obs, -10.0, 10.0)
    t = time / 100.0
    return jnp.concatenate([obs, obs**2, jnp.stack([t, t**2, t**3])])


class LinearBaseline(NamedTuple):
    """A value function that is linear in its features."""

    slope: Array  # [F]
    intercept: Array  # []

    def __call__(self, features: Array) -> Array:
        """Values `[...]` of features `[..., F]`."""
        return features @ self.slope + self.intercept


def fit_linear_baseline(
    features: Array, returns: Array, weights: Array | None = None, ridge: float = 1e-5
) -> LinearBaseline:
    """Ridge regression of returns on features, by corrected seminormal equations (Bjorck 1987, doi:10.1016/0024-3795(87)90101-7).

    Each feature is centred and divided by its standard deviation before it is penalised: t^3 of an episode of thousands of
    steps is many orders of magnitude larger than an observation, and a penalty on its scale would leave nothing of the others.

    Args:
      features: `[B, F]`.
      returns: `[B]`.
      weights: `[B]`, of the squared errors; 1 where left out.
      ridge: weight of the penalty on the coefficients of standardised features; the intercept is free.
    """
    share = jnp.ones_like(returns) if weights is None else weights
    share = share / share.sum()
    mean, mean_return = share @ features, share @ returns
    std = jnp.sqrt(share @ (features - mean[None]) ** 2)
    varies = std > 1e-5 * jnp.abs(mean)  # what rounding leaves of a constant feature is no feature
    scale = jnp.where(varies, 1.0 / jnp.where(varies, std, 1.0), 0.0)
    x, y = (features - mean[None]) * scale[None], returns - mean_return
    weighted = x * share[:, None]
    inverse = invert_positive(weighted.T @ x + ridge * jnp.eye(x.shape[1]))
    first = inverse @ (weighted.T @ y)
    # Powers of time are nearly dependent: what rounding of the matrix has cost, its residual gives back.
    slope = scale * (first + inverse @ (weighted.T @ (y - x @ first) - ridge * first))
    return LinearBaseline(slope, mean_return - mean @ slope)


def invert_positive(matrix: Array) -> Array:
    """The inverse of a symmetric positive definite `[F, F]` by Gauss-Jordan elimination, which needs no pivots there.

    Not by `jnp.linalg`: on CPU a batch of its calls waits in one of XLA's threads for others of them, and with several
    devices all of them may be waiting.
    """
    identity = jnp.eye(len(matrix), dtype=matrix.dtype)

    def eliminate(i: Array, rows: Array) -> Array:
        pivot = rows[i] / rows[i, i]
        return (rows - rows[:, i, None] * pivot[None]).at[i].set(pivot)

    return jax.lax.fori_loop(0, len(matrix), eliminate, jnp.hstack([matrix, identity]))[:, len(matrix) :]


def baseline_advantages(t: Transition, gamma: float, lambda_: float, weights: Array | None = None) -> Array:
    """Advantages of experience of one task, `[E, T]`, by a linear baseline fitted to that experience.

    The baseline knows the time and predicts what is left of the episode, so it is 0 after a time limit: nothing
    bootstraps. An episode that the end of the experience cuts short counts as ended.

    Args:
      t: `[E, T]`; each row begins with an episode.
      gamma: discount.
      lambda_: of generalised advantage estimation.
      weights: `[E]`, of the rows in the fit; 1 where left out.

    Returns:
      `[E, T]`, neither centred nor scaled.
    """
    continues_t = 1.0 - t.last_t
    zeros = jnp.zeros(t.reward_t.shape[0])
    returns_t = jax.vmap(discounted_returns)(t.reward_t, gamma * continues_t)
    features = jax.vmap(jax.vmap(linear_features))(t.obs_tm1, t.time_tm1)
    flat = features.reshape(-1, features.shape[-1])
    per_step = None if weights is None else jnp.repeat(weights, t.reward_t.shape[1])
    value_tm1 = fit_linear_baseline(flat, returns_t.ravel(), per_step)(features)
    value_t = jnp.concatenate([value_tm1[:, 1:], zeros[:, None]], axis=1) * continues_t
    if t.unstable_t is not None:  # cut off before its time, where nothing has happened
        value_t = jnp.where(t.unstable_t, value_tm1, value_t)
    discount_t = gamma * (1.0 - t.terminated_t)
    return jax.vmap(gae, in_axes=(0, 0, 0, 0, 0, None))(
        t.reward_t, discount_t, continues_t, value_tm1, value_t, lambda_
    )


def check_discounts(gamma: float, gae_lambda: float, owner: str = "") -> None:
    """ConfigError, naming the fields of `owner`, unless both lie in [0, 1]."""
    if not (0.0 <= gamma <= 1.0 and 0.0 <= gae_lambda <= 1.0):
        raise ConfigError(f"{owner}gamma and {owner}gae_lambda must lie in [0, 1], not {gamma} and {gae_lambda}.")
