"""Judging adaptation: returns on held-out tasks after 0..K steps, with interquartile means and bootstrap intervals."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from . import rollout
from .types import Algorithm, Array, Key, MetaEnv, Params, RunState, Task


class Estimate(NamedTuple):
    """A quantity over tasks (or seeds x tasks)."""

    mean: float
    iqm: float  # mean of the middle half
    interval: tuple[float, float]  # 95 % bootstrap interval of the iqm


def adaptation_curve(
    algorithm: Algorithm, env: MetaEnv, state: RunState, key: Key, shape: tuple[int, int], num_steps: int
) -> Array:
    """Undiscounted return of each of N tasks after 0..K adaptation steps.

    Every step adapts to the episodes that the point before it was measured on.

    Args:
      algorithm: supplies `act` and `adapt`.
      env: draws the tasks (the held-out split).
      state: of the run.
      key: of tasks, episodes and actions.
      shape: (N, E) tasks and episodes of each.
      num_steps: K.

    Returns:
      `[K + 1, N]`, means over E episodes.
    """
    key_tasks, key = jax.random.split(key)
    tasks = rollout.sample_tasks(env, key_tasks, shape[0])
    return adaptation(algorithm, env, state, tasks, key, shape[1], num_steps)[1]


def adaptation(
    algorithm: Algorithm, env: MetaEnv, state: RunState, tasks: Task, key: Key, num_episodes: int, num_steps: int
) -> tuple[Params, Array]:
    """Adapts to N tasks, step by step (see `adaptation_curve`, whose `key` it takes without the tasks' part).

    Returns:
      Policies `[K + 1, N, ...]` and mean returns `[K + 1, N]` after 0..K steps.
    """
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    shape = (num_tasks, num_episodes)
    params = jax.tree.map(lambda x: jnp.broadcast_to(x, (num_tasks, *x.shape)), algorithm.policy_params(state))

    # A scan, so that the program's size does not grow with K; its last adaptation goes unused.
    def step(params, key):
        key_start, key_run = jax.random.split(key)
        start = rollout.start(env, tasks, key_start, shape)
        _, transitions = rollout.collect(env, algorithm.act(state, params), tasks, start, key_run, env.spec.horizon)
        returns = rollout.first_episode_return(transitions).mean(axis=1)
        return algorithm.adapt(state, params, transitions), (params, returns)

    return jax.lax.scan(step, params, jax.random.split(key, num_steps + 1))[1]


def estimate(values: np.ndarray, num_resamples: int = 2000, seed: int = 0) -> Estimate:
    """Mean, interquartile mean and its 95 % bootstrap interval (Agarwal et al. 2021, arXiv:2108.13264).

    Args:
      values: `[R, N]` or `[N]`: R runs (strata are tasks, resampled over runs) or one run (resampled over tasks).
      num_resamples: of the bootstrap.
      seed: of the bootstrap.
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    rng = np.random.default_rng(seed)
    num_runs, num_tasks = values.shape
    if num_runs == 1:
        resampled = values[0, rng.integers(num_tasks, size=(num_resamples, num_tasks))]
    else:
        chosen = rng.integers(num_runs, size=(num_resamples, num_runs, num_tasks))
        resampled = np.take_along_axis(values[None], chosen, axis=1).reshape(num_resamples, -1)
    low, high = np.quantile(scipy.stats.trim_mean(resampled, 0.25, axis=1), [0.025, 0.975])
    return Estimate(float(values.mean()), float(scipy.stats.trim_mean(values.ravel(), 0.25)), (float(low), float(high)))
