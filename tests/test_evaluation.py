"""Interquartile means, bootstrap intervals, adaptation curves."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from metarl_jax import evaluation
from metarl_jax.rollout import ActionSample
from metarl_jax.types import Algorithm, EnvSpec, TimeStep

RNG = np.random.default_rng(0)


def test_mean_and_iqm():
    values = RNG.normal(size=40)
    estimate = evaluation.estimate(values)
    np.testing.assert_allclose(estimate.mean, values.mean())
    np.testing.assert_allclose(estimate.iqm, np.sort(values)[10:30].mean())


def test_iqm_ignores_outliers():
    values = np.concatenate([np.ones(30), [1e6] * 5, [-1e9] * 5])
    assert evaluation.estimate(values).iqm == 1.0


def test_interval_against_scipy():
    values = RNG.exponential(size=60)
    reference = scipy.stats.bootstrap(
        (values,),
        lambda x, axis: scipy.stats.trim_mean(x, 0.25, axis=axis),
        n_resamples=5000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    low, high = evaluation.estimate(values).interval
    width = reference.high - reference.low
    np.testing.assert_allclose([low, high], [reference.low, reference.high], atol=0.08 * width)


def test_interval_covers_the_truth():
    """The interquartile mean of a normal distribution is its mean; 95 % of intervals should hold it."""
    rng, hits = np.random.default_rng(2), 0
    for _ in range(300):
        low, high = evaluation.estimate(rng.normal(3.0, 2.0, size=40), num_resamples=400).interval
        hits += low <= 3.0 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_runs_are_resampled_within_tasks():
    """Tasks differ widely and runs not at all: nothing is uncertain about these runs' tasks."""
    values = np.tile(np.arange(10.0) ** 2, (5, 1))
    estimate = evaluation.estimate(values)
    np.testing.assert_allclose(estimate.interval, [estimate.iqm, estimate.iqm])
    np.testing.assert_allclose(estimate.iqm, scipy.stats.trim_mean(values.ravel(), 0.25))
    low, high = evaluation.estimate(values + RNG.normal(size=values.shape)).interval
    assert 0.1 < high - low < 3.0


class Counting:
    """Reward is the action plus the task, for three steps."""

    spec = EnvSpec("counting", 1, 1, 3, (-np.inf,), (np.inf,))
    tasks = None

    def sample_task(self, key):
        return jax.random.uniform(key)

    def reset(self, key, task):
        return jnp.zeros(()), TimeStep(jnp.zeros(1), jnp.zeros(()), jnp.array(False))

    def step(self, state, action, task):
        return state, TimeStep(jnp.zeros(1), action[0] + task, jnp.array(False))


class State(NamedTuple):
    action: jax.Array


def counting_algorithm():
    """The policy is its action; each adaptation adds 10 and a hundredth of the mean reward it was shown."""

    def act(state, params):
        def fn(obs, history, key):
            action = jnp.broadcast_to(params[:, None, None], (*obs.shape[:2], 1))
            return (), ActionSample(action, action, (), jnp.zeros(obs.shape[:2]))

        return fn

    def adapt(state, params, transitions):
        return params + 10.0 + 0.01 * transitions.reward_t.mean(axis=(1, 2))

    return Algorithm(None, None, lambda state: state.action, act, lambda shape: (), False, adapt, 0)


@pytest.mark.parametrize("num_steps", [0, 1, 3])
def test_adaptation_curve(num_steps):
    """Point k is the return of the policy adapted k times, task by task; point 0 that of the unadapted one."""
    curve = evaluation.adaptation_curve(
        counting_algorithm(), Counting(), State(jnp.array(5.0)), jax.random.key(0), (6, 2), num_steps
    )
    curve = np.asarray(curve.returns)
    assert curve.shape == (num_steps + 1, 6)
    task = curve[0] / 3.0 - 5.0
    assert np.all((task > 0.0) & (task < 1.0)) and len(np.unique(task)) == 6
    action = np.full(6, 5.0)
    for point in curve:
        np.testing.assert_allclose(point, 3.0 * (action + task), rtol=1e-5)
        action = action + 10.0 + 0.01 * (action + task)
