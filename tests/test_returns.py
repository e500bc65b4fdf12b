"""Returns, advantages and the linear baseline against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.learning import returns

pytestmark = pytest.mark.usefixtures("strict_ranks")

GAMMA, LAMBDA = 0.9, 0.8
# Three episodes in ten steps: one terminates, one is cut off by the time limit, one is still going on.
TERMINATED = np.array([0, 0, 1, 0, 0, 0, 0, 0, 0, 0], bool)
LAST = np.array([0, 0, 1, 0, 0, 0, 1, 0, 0, 0], bool)
RNG = np.random.default_rng(0)
REWARD, VALUE_TM1, VALUE_T = RNG.normal(size=(3, 10)).astype(np.float32)


def episode_end(t):
    """The last step of the episode that step t belongs to, as far as it was recorded."""
    ends = np.flatnonzero(LAST[t:])
    return t + ends[0] if len(ends) else len(LAST) - 1


@pytest.mark.parametrize("jit", [False, True])
def test_discounted_returns(jit):
    fn = jax.jit(returns.discounted_returns) if jit else returns.discounted_returns
    ours = fn(REWARD, GAMMA * (1.0 - LAST.astype(np.float32)))
    for t in range(10):
        end = episode_end(t)
        expected = sum(GAMMA ** (i - t) * REWARD[i] for i in range(t, end + 1))
        np.testing.assert_allclose(ours[t], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 4, 20])
def test_n_step(n):
    """Up to n rewards of the episode; only a termination keeps the value of where they led from counting."""
    ours = returns.n_step(jnp.asarray(REWARD), jnp.asarray(TERMINATED), jnp.asarray(LAST), GAMMA, n)
    for t in range(10):
        end = min(t + n - 1, episode_end(t))
        expected = sum(GAMMA ** (i - t) * REWARD[i] for i in range(t, end + 1))
        assert ours.end[t] == end
        np.testing.assert_allclose(ours.reward[t], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours.discount[t], 0.0 if TERMINATED[end] else GAMMA ** (end - t + 1), rtol=1e-6)


@pytest.mark.parametrize("lambda_", [0.0, LAMBDA, 1.0])
def test_gae(lambda_):
    """Sums of one-step errors, each weighted by (gamma lambda)^distance, that stop where the episode does."""
    discount = (GAMMA * (1.0 - TERMINATED)).astype(np.float32)
    ours = returns.gae(REWARD, discount, 1.0 - LAST.astype(np.float32), VALUE_TM1, VALUE_T, lambda_)
    # A time limit still bootstraps from the final state's value; a termination does not.
    error = REWARD + np.where(TERMINATED, 0.0, GAMMA * VALUE_T) - VALUE_TM1
    for t in range(10):
        expected = sum((GAMMA * lambda_) ** (i - t) * error[i] for i in range(t, episode_end(t) + 1))
        np.testing.assert_allclose(ours[t], expected, rtol=1e-5, atol=1e-6)


def test_gae_with_lambda_1_is_return_minus_value():
    ones = np.ones(10, np.float32)
    value = np.append(VALUE_TM1, np.float32(0.7))
    ours = returns.gae(REWARD, GAMMA * ones, ones, value[:-1], value[1:], 1.0)
    for t in range(10):
        expected = sum(GAMMA ** (i - t) * REWARD[i] for i in range(t, 10)) + GAMMA ** (10 - t) * 0.7 - VALUE_TM1[t]
        np.testing.assert_allclose(ours[t], expected, rtol=1e-5, atol=1e-6)


def test_linear_features():
    features = returns.linear_features(jnp.array([0.5, -20.0, 3.0]), jnp.array(40))
    expected = [0.5, -10.0, 3.0, 0.25, 100.0, 9.0, 0.4, 0.16, 0.064]
    np.testing.assert_allclose(features, expected, rtol=1e-6)


def _regression():
    rng = np.random.default_rng(1)
    obs, time = rng.normal(size=(60, 4)), np.tile(np.arange(20), 3)
    features = np.array(jax.vmap(returns.linear_features)(jnp.asarray(obs), jnp.asarray(time)), np.float64)
    return features, 3.0 * obs[:, 0] - obs[:, 1] ** 2 + 0.1 * time + rng.normal(size=60)


def _ridge(features, target, ridge):
    """The penalty as extra rows of a least-squares problem in standardised features, which NumPy solves by singular values."""
    mean, std = features.mean(axis=0), features.std(axis=0)
    x, size = (features - mean) / std, features.shape[1]
    rows = np.concatenate([x, np.sqrt(ridge * len(x)) * np.eye(size)])
    return target.mean() + x @ np.linalg.lstsq(rows, np.append(target - target.mean(), np.zeros(size)), rcond=None)[0]


@pytest.mark.parametrize("ridge", [1e-5, 0.1])
def test_linear_baseline_is_ridge_regression(x64, ridge):
    features, target = _regression()
    values = returns.fit_linear_baseline(jnp.asarray(features), jnp.asarray(target), ridge=ridge)(features)
    np.testing.assert_allclose(values, _ridge(features, target, ridge), rtol=1e-6, atol=1e-8)


def test_weights_count_rows(x64):
    """Whole numbers as weights are repeated rows."""
    features, target = _regression()
    weights = np.random.default_rng(2).integers(1, 4, len(target))
    weighted = returns.fit_linear_baseline(jnp.asarray(features), jnp.asarray(target), jnp.asarray(weights, float))
    repeated = returns.fit_linear_baseline(*(jnp.repeat(x, weights, axis=0) for x in (features, target)))
    np.testing.assert_allclose(weighted(features), repeated(features), rtol=1e-8)


def test_linear_baseline_in_float32():
    features, target = _regression()
    baseline = returns.fit_linear_baseline(jnp.asarray(features, jnp.float32), jnp.asarray(target, jnp.float32))
    values = baseline(jnp.asarray(features, jnp.float32))
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, _ridge(features, target, 1e-5), atol=1e-4)


def _explained(values, target):
    return 1.0 - np.var(target - np.asarray(values, np.float64)) / np.var(target)


@pytest.mark.parametrize("offset", [0.0, 5.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("length", [100, 1000, 5000])
def test_linear_baseline_explains_what_least_squares_does(length, scale, offset):
    """Ten episodes whose value depends on the observation, at every length of episodes and scale of observations."""
    rng = np.random.default_rng(0)
    obs, time = scale * (offset + 0.3 * rng.normal(size=(10, length, 5))), np.tile(np.arange(length), (10, 1))
    features = jax.vmap(jax.vmap(returns.linear_features))(jnp.asarray(obs, jnp.float32), jnp.asarray(time))
    features = np.array(features.reshape(-1, features.shape[-1]))
    seen = np.clip(obs, -10.0, 10.0)  # as the features have it
    target = seen[..., 0] - 0.5 * seen[..., 1] + (1.0 + seen[..., 2].std()) * (1.0 - time / length) ** 2
    target = (target + 0.3 * target.std() * rng.normal(size=target.shape)).ravel()
    exact = np.concatenate([features.astype(np.float64), np.ones((len(features), 1))], axis=1)
    exact = exact / np.maximum(np.abs(exact).max(axis=0), 1e-30)
    best = _explained(exact @ np.linalg.lstsq(exact, target, rcond=None)[0], target)
    ours = returns.fit_linear_baseline(jnp.asarray(features), jnp.asarray(target, jnp.float32))(features)
    assert best > 0.5
    np.testing.assert_allclose(_explained(ours, target), best, atol=0.005)


def test_linear_baseline_of_constant_observations_is_finite():
    """Columns without variance make the normal equations singular; the penalty must keep them solvable."""
    features = jax.vmap(returns.linear_features)(jnp.full((30, 5), 0.7), jnp.zeros(30))
    baseline = returns.fit_linear_baseline(features, jnp.full(30, 4.0))
    np.testing.assert_allclose(baseline(features), 4.0, rtol=1e-6)
