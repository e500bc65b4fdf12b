"""Values as distributions, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metarl_jax.algorithms.critic import CriticConfig, make_critic
from metarl_jax.errors import ConfigError
from metarl_jax.learning import categorical
from metarl_jax.networks import NetworkConfig


def test_two_hot(x64):
    """Two neighbours alone, and the mean is the value; what lies outside goes to the end."""
    support = categorical.symexp(jnp.linspace(-3.0, 3.0, 13))
    np.testing.assert_allclose(support[7], np.exp(0.5) - 1.0)
    values = np.array([-30.0, -3.3, 0.0, 0.1, 7.0, float(support[4]), 30.0])
    ours = np.asarray(categorical.two_hot(jnp.asarray(values), support))
    np.testing.assert_allclose(
        ours @ np.asarray(support), np.clip(values, support[0], support[-1]), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(ours.sum(axis=1), 1.0)
    for row in ours:
        assert (row >= 0.0).all() and np.diff(np.flatnonzero(row)).sum() <= 1


def test_a_two_hot_critic_learns_returns_of_all_sizes():
    """-3, 0.02 and 4,000 at once, each to a few percent: the loss knows no scale."""
    critic = make_critic(CriticConfig(NetworkConfig(hidden=(32,)), kind="two-hot"), "float32")
    inputs, targets = jnp.eye(3), jnp.array([-3.0, 0.02, 4000.0])
    params = critic.init(jax.random.key(0), 3)
    assert np.abs(critic.value(critic.apply(params, inputs))).max() < 100.0

    optimizer = optax.adam(0.02)

    def step(_, carry):
        params, state = carry
        grads = jax.grad(lambda p: critic.loss(critic.apply(p, inputs), targets, targets))(params)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state

    params, _ = jax.lax.fori_loop(0, 2000, step, (params, optimizer.init(params)))
    np.testing.assert_allclose(critic.value(critic.apply(params, inputs)), targets, rtol=0.05, atol=0.1)


def test_a_two_hot_critic_has_no_clip():
    with pytest.raises(ConfigError, match="leave it at inf for a two-hot one"):
        CriticConfig(kind="two-hot", clip=0.2)
