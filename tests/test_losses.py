"""Losses against NumPy loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.learning import losses

pytestmark = pytest.mark.usefixtures("strict_ranks")

RNG = np.random.default_rng(0)
ADVANTAGE = RNG.normal(size=40).astype(np.float32)
OLD = RNG.normal(size=40).astype(np.float32)
NEW = OLD + RNG.normal(scale=0.4, size=40).astype(np.float32)


def test_surrogates():
    np.testing.assert_allclose(losses.log_prob_surrogate(NEW, OLD, ADVANTAGE), -np.mean(NEW * ADVANTAGE), rtol=1e-5)
    np.testing.assert_allclose(
        losses.ratio_surrogate(NEW, OLD, ADVANTAGE), -np.mean(np.exp(NEW - OLD) * ADVANTAGE), rtol=1e-5
    )


@pytest.mark.parametrize(("name", "curvature"), [("ratio", 2.0), ("log_prob", 0.0)])
def test_expected_curvature_of_the_surrogates(name, curvature):
    """One state, a ~ N(m, s^2), reward -(a - c)^2: the return -(m - c)^2 - s^2 has second derivative -2.

    The score is (a - m) / s^2 and the loss -mean of it times the centred reward, whose expectation is -dJ/dm = 2 (m - c).
    """
    mean, std, goal = 0.3, 0.5, 1.0
    action = mean + std * jax.random.normal(jax.random.key(0), (400_000,))
    reward = -((action - goal) ** 2)

    def log_prob(m):
        return -0.5 * ((action - m) / std) ** 2

    def loss(m):
        return losses.SURROGATES[name](log_prob(m), log_prob(mean), reward - reward.mean())

    np.testing.assert_allclose(jax.grad(loss)(mean), 2.0 * (mean - goal), rtol=0.02)
    np.testing.assert_allclose(jax.hessian(loss)(mean), curvature, atol=0.05)


def test_ppo_clip():
    terms = []
    for new, old, advantage in zip(NEW, OLD, ADVANTAGE, strict=True):
        ratio = np.exp(new - old)
        terms.append(min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage))
    np.testing.assert_allclose(losses.ppo_clip(NEW, OLD, ADVANTAGE, 0.2), -np.mean(terms), rtol=1e-5)


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "moves"), [(0.5, 1.0, False), (0.5, -1.0, True), (-0.5, 1.0, True), (-0.5, -1.0, False)]
)
def test_ppo_clip_stops_only_what_went_far_enough(log_ratio, advantage, moves):
    """No gradient where the ratio is beyond the bound on the side that the advantage asks for."""
    one = jnp.ones(1)
    gradient = jax.grad(lambda x: losses.ppo_clip(x, 0.0 * one, advantage * one, 0.2))(log_ratio * one)
    np.testing.assert_allclose(gradient, -advantage * np.exp(log_ratio) if moves else 0.0, rtol=1e-6)


def test_value_clip():
    value, old, target = RNG.normal(size=(3, 40)).astype(np.float32)
    terms = []
    for v, o, g in zip(value, old, target, strict=True):
        held = o + min(max(v - o, -0.3), 0.3)
        terms.append(max((v - g) ** 2, (held - g) ** 2))
    np.testing.assert_allclose(losses.value_clip(value, old, target, 0.3), 0.5 * np.mean(terms), rtol=1e-5)
    plain = 0.5 * np.mean((value - target) ** 2)
    np.testing.assert_allclose(losses.value_clip(value, old, target, float("inf")), plain, rtol=1e-5)


def test_value_clip_has_no_gradient_beyond_the_bound():
    """The value has moved by 1 towards the target 5 and may move by 0.3 only: the held value is worse, and constant."""
    gradient = jax.grad(lambda v: losses.value_clip(v, jnp.zeros(1), jnp.full(1, 5.0), 0.3))(jnp.ones(1))
    np.testing.assert_array_equal(gradient, [0.0])


@pytest.mark.parametrize(("kl", "factor"), [(0.01, 0.5), (0.06, 0.5), (0.1, 1.0), (0.14, 1.0), (0.16, 2.0), (3.0, 2.0)])
def test_kl_coefficient(kl, factor):
    """Twice where the KL is over 1.5 x 0.1, half where it is under 0.1 / 1.5."""
    np.testing.assert_allclose(losses.adapt_kl_coef(jnp.array(0.4), jnp.array(kl), 0.1), 0.4 * factor, rtol=1e-6)


def test_kl_coefficient_can_leave_zero():
    assert losses.adapt_kl_coef(jnp.array(0.0), jnp.array(1.0), 0.1) > 0.0


def test_standardise():
    x = 3.0 + 5.0 * RNG.normal(size=(7, 9)).astype(np.float32)
    ours = np.asarray(losses.standardise(jnp.asarray(x)))
    np.testing.assert_allclose(ours, (x - x.mean()) / x.std(), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(losses.standardise(jnp.full(5, 2.0)), np.zeros(5))
