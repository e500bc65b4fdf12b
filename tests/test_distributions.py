"""Action distributions against SciPy and numeric integration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from metarl_jax.learning import distributions
from metarl_jax.learning.distributions import CATEGORICAL, Categorical, Gaussian

LOW, HIGH = np.array([-1.0, 0.0, -3.0]), np.array([1.0, 4.0, -1.0])
MEAN, LOG_STD = np.array([0.3, -1.2, 2.0]), np.array([-0.5, 0.4, -2.0])
RAW = np.array([[0.1, -1.0, 2.1], [1.5, 1.0, 1.7], [-2.0, -4.0, 2.0]])


def gaussian():
    return distributions.make_gaussian(jnp.asarray(LOW), jnp.asarray(HIGH))


def tanh_gaussian(low=LOW, high=HIGH):
    return distributions.make_tanh_gaussian(jnp.asarray(low), jnp.asarray(high))


def dist_of(mean, log_std):
    return Gaussian(jnp.asarray(mean), jnp.asarray(log_std))


def test_gaussian_log_prob():
    expected = scipy.stats.norm.logpdf(RAW, MEAN, np.exp(LOG_STD)).sum(axis=-1)
    dist = dist_of(np.tile(MEAN, (3, 1)), np.tile(LOG_STD, (3, 1)))
    np.testing.assert_allclose(gaussian().log_prob(dist, jnp.asarray(RAW)), expected, rtol=1e-5)


def test_gaussian_entropy():
    expected = scipy.stats.norm.entropy(MEAN, np.exp(LOG_STD)).sum()
    np.testing.assert_allclose(gaussian().entropy(dist_of(MEAN, LOG_STD)), expected, rtol=1e-6)


@pytest.mark.parametrize("make", [gaussian, tanh_gaussian])
def test_kl(make):
    """By quadrature of p log(p / q), dimension by dimension; a bijection of both leaves it unchanged."""
    other_mean, other_log_std = np.array([0.0, -0.5, 1.9]), np.array([0.2, 0.0, -1.5])

    def integrand(x, i):
        p, q = (
            scipy.stats.norm(mean[i], np.exp(log_std[i]))
            for mean, log_std in ((MEAN, LOG_STD), (other_mean, other_log_std))
        )
        return p.pdf(x) * (p.logpdf(x) - q.logpdf(x))

    width = 10.0 * np.exp(LOG_STD)
    expected = sum(scipy.integrate.quad(integrand, MEAN[i] - width[i], MEAN[i] + width[i], args=i)[0] for i in range(3))
    ours = make().kl(dist_of(MEAN, LOG_STD), dist_of(other_mean, other_log_std))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    np.testing.assert_allclose(make().kl(dist_of(MEAN, LOG_STD), dist_of(MEAN, LOG_STD)), 0.0, atol=1e-6)


@pytest.mark.parametrize("make", [gaussian, tanh_gaussian])
def test_samples_follow_the_gaussian(make):
    dist = dist_of(np.tile(MEAN, (4000, 1)), np.tile(LOG_STD, (4000, 1)))
    raw = np.asarray(make().sample(jax.random.key(0), dist))
    for i in range(3):
        assert scipy.stats.kstest(raw[:, i], scipy.stats.norm(MEAN[i], np.exp(LOG_STD[i])).cdf).pvalue > 0.01
    correlations = np.corrcoef(raw.T) - np.eye(3)
    assert np.abs(correlations).max() < 0.05


def squashed_density(mean, log_std, low, high):
    """The density of the action that the environment is given, as a function of that action."""
    distribution = tanh_gaussian(np.array([low]), np.array([high]))
    dist = dist_of([mean], [log_std])
    log_prob = jax.jit(lambda raw: distribution.log_prob(dist, raw[None]))
    return lambda y: np.exp(float(log_prob(np.arctanh(2.0 * (y - low) / (high - low) - 1.0))))


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, -1.0), (0.7, 0.0), (-1.0, -0.5)])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 5.0)])
def test_tanh_density(x64, mean, log_std, low, high):
    """It integrates to 1, and its probability left of any action is the Gaussian's left of the raw one."""
    density = squashed_density(mean, log_std, low, high)
    np.testing.assert_allclose(scipy.integrate.quad(density, low, high, limit=200)[0], 1.0, rtol=1e-6)
    raw = mean + 0.5 * np.exp(log_std)
    action = float(tanh_gaussian(np.array([low]), np.array([high])).to_env(jnp.array([raw]))[0])
    np.testing.assert_allclose(
        scipy.integrate.quad(density, low, action, limit=200)[0], scipy.stats.norm.cdf(0.5), rtol=1e-6
    )


@pytest.mark.parametrize("std", [0.1, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("mean", [0.0, 0.8, -3.0])
def test_tanh_entropy(x64, mean, std):
    """Against the integral of -p log p over the squashed action, taken over the raw one."""
    low, high = -0.5, 2.0

    def integrand(x):
        normal = scipy.stats.norm(mean, std)
        slope = np.log(0.5 * (high - low)) + 2.0 * np.log(2.0) - 2.0 * np.logaddexp(x, -x)
        return -normal.pdf(x) * (normal.logpdf(x) - slope)

    expected = scipy.integrate.quad(integrand, mean - 12 * std, mean + 12 * std, limit=400)[0]
    ours = tanh_gaussian(np.array([low]), np.array([high])).entropy(dist_of([mean], [np.log(std)]))
    np.testing.assert_allclose(ours, expected, atol=0.01)


def test_log_tanh_slope_keeps_its_digits():
    raw = np.array([-60.0, -9.0, -1.0, 0.0, 0.3, 4.0, 12.0, 100.0])
    expected = 2.0 * np.log(2.0) - 2.0 * np.logaddexp(raw, -raw)
    np.testing.assert_allclose(distributions.log_tanh_slope(jnp.asarray(raw)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", [gaussian, tanh_gaussian])
@pytest.mark.parametrize("far", [30.0, 1e4])
def test_far_out(make, far):
    """Actions stay within the bounds; densities, entropies and their gradients stay finite."""
    distribution = make()
    raw = jnp.array([far, -far, far])
    action = np.asarray(distribution.to_env(raw))
    assert np.all(action >= LOW) and np.all(action <= HIGH)
    np.testing.assert_allclose(action, [HIGH[0], LOW[1], HIGH[2]], rtol=1e-6)
    dist = dist_of(-np.asarray(raw), np.array([-2.0, 1.0, 0.0]))
    gradients = (
        jax.grad(distribution.log_prob, argnums=(0, 1))(dist, raw),
        jax.grad(distribution.entropy)(dist),
        jax.grad(distribution.kl)(dist, dist_of(MEAN, LOG_STD)),
    )
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradients))


def test_gaussian_actions_are_stretched_over_the_bounds_and_clipped():
    """A draw of +-1 is the bound; outside it is the bound too."""
    raw = np.array([0.5, -0.25, 0.0])
    expected = LOW + (HIGH - LOW) * (raw + 1.0) / 2.0
    np.testing.assert_allclose(gaussian().to_env(jnp.asarray(raw)), expected, rtol=1e-6)
    np.testing.assert_allclose(gaussian().to_env(jnp.array([1.0, -1.0, 1.2])), [HIGH[0], LOW[1], HIGH[2]], rtol=1e-6)


def test_gaussian_actions_without_bounds_are_as_drawn():
    half_open = distributions.make_gaussian(jnp.array([-np.inf, 0.0]), jnp.array([np.inf, np.inf]))
    np.testing.assert_array_equal(half_open.to_env(jnp.array([-7.0, 3.0])), [-7.0, 3.0])
    np.testing.assert_array_equal(half_open.to_env(jnp.array([7.0, -3.0])), [7.0, 0.0])


def test_tanh_actions_are_tanh_scaled_into_the_bounds():
    raw = np.array([0.5, -0.7, 1.1])
    expected = LOW + (HIGH - LOW) * (np.tanh(raw) + 1.0) / 2.0
    np.testing.assert_allclose(tanh_gaussian().to_env(jnp.asarray(raw)), expected, rtol=1e-5)


LOGITS = np.array([[0.3, -1.2, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0], [5.0, -3.0, 0.5, 4.0]])


def probabilities(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def test_categorical():
    """Whatever is added to all logits."""
    dist, other = Categorical(jnp.asarray(LOGITS + 7.0)), Categorical(jnp.asarray(LOGITS[::-1].copy()))
    p, q = probabilities(LOGITS), probabilities(LOGITS[::-1])
    for i in range(4):
        np.testing.assert_allclose(CATEGORICAL.log_prob(dist, jnp.eye(4)[jnp.full(3, i)]), np.log(p[:, i]), rtol=1e-5)
    np.testing.assert_allclose(CATEGORICAL.entropy(dist), scipy.stats.entropy(p, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(CATEGORICAL.kl(dist, other), scipy.stats.entropy(p, q, axis=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(CATEGORICAL.mode(dist), np.eye(4)[[2, 0, 0]])
    np.testing.assert_array_equal(CATEGORICAL.to_env(CATEGORICAL.mode(dist)), [2, 0, 0])


def test_categorical_draws():
    dist = Categorical(jnp.asarray(np.tile(LOGITS, (4000, 1, 1))))
    raw = np.asarray(CATEGORICAL.sample(jax.random.key(0), dist))
    assert set(np.unique(raw)) == {0.0, 1.0} and (raw.sum(axis=-1) == 1.0).all()
    np.testing.assert_array_equal(CATEGORICAL.to_env(jnp.asarray(raw)), raw.argmax(axis=-1))
    for counts, p in zip(raw.sum(axis=0), probabilities(LOGITS), strict=True):
        assert scipy.stats.chisquare(counts, 4000 * p).pvalue > 0.01


def test_categorical_far_out():
    dist, action = Categorical(jnp.array([1e4, -1e4, 0.0])), jnp.array([0.0, 1.0, 0.0])
    gradients = (
        jax.grad(CATEGORICAL.log_prob)(dist, action),
        jax.grad(CATEGORICAL.entropy)(dist),
        jax.grad(CATEGORICAL.kl)(dist, Categorical(jnp.zeros(3))),
    )
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradients))
