"""Interquartile means, bootstrap intervals, adaptation curves."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from metarl_jax import evaluation, rollout
from metarl_jax.learning.distributions import Gaussian
from metarl_jax.policies import PolicyConfig, make_judged_act
from metarl_jax.rollout import ActionSample
from metarl_jax.types import Adaptation, Algorithm, EnvSpec, TimeStep

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


def test_intervals_over_seeds_cover_the_truth():
    """Ten runs on the same 40 tasks, whose effects are as large as those of seeds: both are drawn anew a thousand times.

    Of the expected nominal 95 % ten runs give a little less, as Student's t says. Independent draws of runs for each task,
    as if each task had been played by runs of its own, cover a quarter.
    """
    rng, hits, draws = np.random.default_rng(3), np.zeros(2), 400
    for _ in range(draws):
        seeds, tasks, noise = (rng.normal(size=shape) for shape in ((10, 1), (1, 40), (10, 40)))
        found = evaluation.estimate(3.0 + seeds + tasks + noise, num_resamples=200)
        hits += [low <= 3.0 <= high for low, high in (found.mean_interval, found.interval)]
    assert np.all(hits / draws >= 0.85) and np.all(hits / draws <= 0.98)


@pytest.mark.parametrize("num_runs", [1, 2, 4, 5])
def test_few_runs_have_no_interval(num_runs):
    found = evaluation.estimate(RNG.normal(size=(num_runs, 30)))
    assert (found.interval is None) == (found.mean_interval is None) == (num_runs in (2, 4))


def test_runs_are_resampled_as_wholes():
    """Runs differ and tasks do not: the interval is that of the runs' means, however many tasks there are."""
    runs = np.random.default_rng(4).normal(size=8)
    for num_tasks in (1, 50):
        values = np.tile(runs[:, None], num_tasks)
        found = evaluation.estimate(values, num_resamples=20000).mean_interval
        draws = np.random.default_rng(1).choice(runs, size=(20000, 8)).mean(axis=1)
        np.testing.assert_allclose(found, np.quantile(draws, [0.025, 0.975]), atol=0.04)


def test_tasks_are_resampled_within_strata():
    """Strata far apart, interleaved and of unequal sizes, and nothing uncertain within them."""
    rng = np.random.default_rng(6)
    strata = rng.permutation(np.repeat([0, 1, 2], [5, 10, 15]))
    values = np.array([0.0, 10.0, 100.0])[strata]
    found = evaluation.estimate(values, strata)
    np.testing.assert_allclose([*found.mean_interval, *found.interval], [values.mean()] * 2 + [found.iqm] * 2)
    low, high = evaluation.estimate(values).mean_interval
    assert high - low > 20.0
    noise = rng.normal(size=30)
    low, high = evaluation.estimate(values + noise, strata, num_resamples=20000).mean_interval
    within = [noise[strata == s] for s in range(3)]
    error = np.sqrt(sum(x.var() * len(x) for x in within)) / 30  # of the stratified mean
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_rows_of_one_task_are_averaged_first():
    """Of three held-out tasks one was drawn twice: all count the same, and tasks are what is resampled."""
    rows = evaluation.Rows([0, 1, 2, 1], ["x"] * 4, all_tasks=False)
    values = np.array([1.0, 5.0, 9.0, 7.0])
    found = evaluation.over_tasks(values, rows)
    assert found == evaluation.estimate(np.array([1.0, 6.0, 9.0])) and found.mean == pytest.approx(16 / 3)


def test_all_tasks_of_a_family_are_not_resampled():
    """Two known tasks, far apart; five and three episodes of them, which are what is uncertain."""
    rows = evaluation.Rows([0, 1, 0, 1, 0, 1, 0, 0], ["x"] * 8, all_tasks=True)
    noise = np.random.default_rng(5).normal(size=8)
    values = np.where(np.array(rows.task) == 0, 100.0, -50.0) + noise
    found = evaluation.over_tasks(values, rows)
    by_task = [noise[np.array(rows.task) == t] for t in (0, 1)]
    assert found.mean == found.iqm == pytest.approx(25.0 + np.mean([x.mean() for x in by_task]))
    low, high = found.mean_interval
    error = np.sqrt(sum(x.var() / len(x) for x in by_task)) / 2
    assert low <= found.mean <= high and high - low == pytest.approx(2 * 1.96 * error, rel=0.2)
    once = evaluation.Rows([0, 1], ["x"] * 2, all_tasks=True)  # nothing says how uncertain each is
    low, high = evaluation.over_tasks(np.array([100.0, -50.0]), once).mean_interval
    assert (low, high) == (-50.0, 100.0)


def test_families_of_a_suite_are_strata():
    rows = evaluation.Rows(range(20), np.repeat(["easy", "hard"], 10).tolist(), all_tasks=False)
    values = np.repeat([1.0, 0.0], 10)
    assert evaluation.over_tasks(values, rows).mean_interval == (0.5, 0.5)


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

    return Algorithm(None, None, lambda state: state.action, act, lambda shape: (), False, adapt, Adaptation(1, 2), 0)


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


def test_the_most_likely_actions_are_judged_and_draws_adapt():
    """A policy that draws around its mean: its returns tell the mean alone, its adaptations what was drawn."""
    certain, shape, key = counting_algorithm(), (6, 2), jax.random.key(0)

    def act(state, params):
        def fn(obs, history, key):
            carry, sample = certain.act(state, params)(obs, history, key)
            raw = sample.raw + jax.random.normal(key, sample.raw.shape)
            return carry, sample._replace(raw=raw, action=raw, dist=Gaussian(sample.raw, jnp.zeros_like(sample.raw)))

        return fn

    drawing, state = certain._replace(act=act), State(jnp.array(5.0))
    tasks = rollout.sample_tasks(Counting(), key, shape[0])
    likely = make_judged_act("mode", PolicyConfig(), Counting.spec)
    run = functools.partial(evaluation.adaptation, drawing, Counting(), state, tasks, key, shape, 3)
    params, history, curve = run()
    same_params, same_history, of_means = run(likely)
    jax.tree.map(np.testing.assert_array_equal, (params, history), (same_params, same_history))
    np.testing.assert_allclose(of_means.returns, 3.0 * (np.asarray(params) + np.asarray(tasks)), rtol=1e-6)
    # What adapted was drawn: the policies are those that follow from the returns of the drawn episodes.
    follows = np.asarray(params[:-1]) + 10.0 + 0.01 * np.asarray(curve.returns[:-1]) / 3.0
    np.testing.assert_allclose(params[1:], follows, rtol=1e-6)
    assert np.abs(np.asarray(curve.returns - of_means.returns)).min() > 1e-3
