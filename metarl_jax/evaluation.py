"""Judging adaptation: returns on held-out tasks after 0..K steps, with interquartile means and bootstrap intervals."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from . import rollout
from .types import Algorithm, Array, History, Key, MetaEnv, Params, RunState, Suite, Task


class Estimate(NamedTuple):
    """A quantity over tasks (or seeds x tasks)."""

    mean: float
    iqm: float  # mean of the middle half
    interval: tuple[float, float]  # 95 % bootstrap interval of the iqm
    mean_interval: tuple[float, float]  # 95 % bootstrap interval of the mean


class Curve(NamedTuple):
    """How N tasks went after 0..K adaptation steps, means over E episodes."""

    returns: Array  # [K + 1, N], undiscounted
    success: Array  # [K + 1, N], share of episodes that solved the task; 0 where the environment names no success


def adaptation_curve(
    algorithm: Algorithm, env: MetaEnv | Suite, state: RunState, key: Key, shape: tuple[int, int], num_steps: int
) -> Curve:
    """Return and success on each of N tasks after 0..K adaptation steps.

    Every step adapts to the episodes that the point before it was measured on.

    Args:
      algorithm: supplies `act` and `adapt`.
      env: draws the tasks (the held-out split).
      state: of the run.
      key: of tasks, episodes and actions.
      shape: (N, E) tasks and episodes of each.
      num_steps: K.
    """
    key_tasks, key = jax.random.split(key)
    tasks = rollout.sample_tasks(env, key_tasks, shape[0])
    return adaptation(algorithm, env, state, tasks, key, shape, num_steps)[2]


def adaptation(
    algorithm: Algorithm,
    env: MetaEnv | Suite,
    state: RunState,
    tasks: Task,
    key: Key,
    shape: tuple[int, int],
    num_steps: int,
) -> tuple[Params, History, Curve]:
    """Adapts to N tasks, step by step (see `adaptation_curve`, whose `key` it takes without the tasks' part).

    Returns:
      Policies, leaves `[K + 1, N, ...]`, the histories they begin with, `[K + 1, N, E, ...]`, and how they did.
    """
    params = jax.tree.map(lambda x: jnp.broadcast_to(x, (shape[0], *x.shape)), algorithm.policy_params(state))
    first_history = rollout.no_history(env.spec, shape, algorithm.init_carry(shape))

    # A scan, so that the program's size does not grow with K; its last adaptation goes unused.
    def step(carry, key):
        params, history = carry
        end, transitions = rollout.run_episodes(env, algorithm.act(state, params), tasks, key, shape, history)
        # A round cuts short the episodes that still run.
        after = end.history._replace(last=jnp.ones(shape, bool)) if algorithm.keeps_history else first_history
        outcome = Curve(*(x.mean(axis=1) for x in rollout.episode_outcome(transitions)))
        return (algorithm.adapt(state, params, transitions), after), (params, history, outcome)

    return jax.lax.scan(step, (params, first_history), jax.random.split(key, num_steps + 1))[1]


def estimate(values: np.ndarray, num_resamples: int = 2000, seed: int = 0) -> Estimate:
    """Mean, interquartile mean and their 95 % bootstrap intervals (Agarwal et al. 2021, arXiv:2108.13264).

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
    low, high = np.quantile(
        [scipy.stats.trim_mean(resampled, 0.25, axis=1), resampled.mean(axis=1)], [0.025, 0.975], axis=1
    )
    iqm, (interval, mean_interval) = scipy.stats.trim_mean(values.ravel(), 0.25), np.stack([low, high], axis=1).tolist()
    return Estimate(float(values.mean()), float(iqm), tuple(interval), tuple(mean_interval))
