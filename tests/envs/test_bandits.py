"""Arms pay as their probabilities say, and nothing else is to be seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from metarl_jax.envs import ENVIRONMENTS, make
from metarl_jax.errors import ConfigError


def test_tasks():
    """Probabilities are uniform, and independent of each other."""
    arms = np.asarray(jax.vmap(make("bandit/5").sample_task)(jax.random.split(jax.random.key(0), 2000)))
    assert arms.shape == (2000, 5)
    assert all(scipy.stats.kstest(arm, "uniform").pvalue > 0.01 for arm in arms.T)
    assert np.abs(np.corrcoef(arms.T) - np.eye(5)).max() < 0.1


def test_numbers_of_arms():
    names = [name for name, entry in ENVIRONMENTS.items() if entry.module == "bandits"]
    assert names and all(make(name).spec.action_dim == int(name.removeprefix("bandit/")) for name in names)


def test_rewards():
    """Frequencies of each arm, over the pulls of many episodes; pulls are independent."""
    env, arms = make("bandit/5", horizon=8), jnp.array([0.0, 0.1, 0.5, 0.8, 1.0])

    @jax.jit
    @jax.vmap
    def episode(key):
        def pull(state, arm):
            state, timestep = env.step(state, arm, arms)
            return state, timestep

        return jax.lax.scan(pull, env.reset(key, arms)[0], jnp.tile(jnp.arange(5), 8))[1]

    timesteps = episode(jax.random.split(jax.random.key(0), 1000))
    rewards = np.asarray(timesteps.reward).reshape(1000, 8, 5)
    assert set(np.unique(rewards)) == {0.0, 1.0}
    assert not timesteps.obs.any() and timesteps.obs.shape == (1000, 40, 1) and not timesteps.terminated.any()
    np.testing.assert_allclose(rewards.mean(axis=(0, 1)), arms, atol=4 * 0.5 / np.sqrt(8000))
    assert np.abs(np.corrcoef(rewards[:, :, 2].T) - np.eye(8)).max() < 0.15


def test_lengths_and_physics():
    assert make("bandit/5").spec.horizon == 10 and make("bandit/2", horizon=3).spec.horizon == 3
    with pytest.raises(ConfigError, match="has no physics"):
        make("bandit/5", physics="mjx")
