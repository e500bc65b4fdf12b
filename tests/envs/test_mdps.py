"""Random MDPs are drawn from their prior, and go on and pay as their tables say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from metarl_jax.envs import make
from metarl_jax.errors import ConfigError


def test_tasks():
    """Each probability of a flat Dirichlet row of S is from Beta(1, S - 1), each mean reward from N(1, 1)."""
    tasks = jax.vmap(make("mdp").sample_task)(jax.random.split(jax.random.key(0), 50))
    transition, reward = np.asarray(tasks.transition), np.asarray(tasks.reward)
    assert transition.shape == (50, 10, 5, 10) and reward.shape == (50, 10, 5)
    np.testing.assert_allclose(transition.sum(axis=-1), 1.0, rtol=1e-5)
    assert scipy.stats.kstest(transition[..., 3].ravel(), scipy.stats.beta(1, 9).cdf).pvalue > 0.01
    assert scipy.stats.kstest(reward.ravel(), scipy.stats.norm(1, 1).cdf).pvalue > 0.01


def test_steps():
    """From state 0; next states and rewards of each action, many times."""
    env = make("mdp")
    task = env.sample_task(jax.random.key(0))

    @jax.jit
    @jax.vmap
    def two_steps(key):
        state, first = env.reset(key, task)
        state, second = env.step(state, jnp.array(3), task)
        _, third = env.step(state, jnp.array(1), task)
        return first, second, third

    first, second, third = (jax.tree.map(np.asarray, t) for t in two_steps(jax.random.split(jax.random.key(1), 20_000)))
    np.testing.assert_array_equal(first.obs, np.tile(np.eye(10)[0], (20_000, 1)))
    assert not (first.terminated | second.terminated | third.terminated).any()
    np.testing.assert_allclose(second.obs.mean(axis=0), task.transition[0, 3], atol=0.015)
    noise = second.reward - float(task.reward[0, 3])
    assert scipy.stats.kstest(noise, scipy.stats.norm.cdf).pvalue > 0.01
    state = second.obs.argmax(axis=-1)
    assert scipy.stats.kstest(third.reward - np.asarray(task.reward)[state, 1], scipy.stats.norm.cdf).pvalue > 0.01
    for s in np.unique(state[:5]):  # whatever the state
        np.testing.assert_allclose(third.obs[state == s].mean(axis=0), task.transition[s, 1], atol=0.06)
    assert abs(np.corrcoef(noise, third.reward)[0, 1]) < 0.03


def test_lengths_and_physics():
    assert make("mdp").spec.horizon == 10 and make("mdp", horizon=3).spec.horizon == 3
    with pytest.raises(ConfigError, match="has no physics"):
        make("mdp", physics="mjx")
