"""Observations that say which of finitely many tasks it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.envs import make
from metarl_jax.errors import ConfigError


def test_labels_of_a_family():
    """The corners of navigation: the environment is as it was, and each of its tasks has a number."""
    env, bare = make("point/promp/one-hot"), make("point/promp")
    assert (env.spec.name, env.spec.num_labels, env.spec.obs_dim) == ("point/promp/one-hot", 4, bare.spec.obs_dim + 4)
    tasks = rollout.sample_tasks(env, jax.random.key(0), 4)
    assert sorted(np.asarray(tasks.number).tolist()) == [0, 1, 2, 3]
    for row in range(4):
        task = jax.tree.map(lambda x, row=row: x[row], tasks)
        np.testing.assert_array_equal(task.task, bare.tasks[task.number])
        state, timestep = env.reset(jax.random.key(1), task)
        expected, before = bare.reset(jax.random.key(1), task.task)
        label = np.eye(4)[task.number]
        np.testing.assert_array_equal(timestep.obs, np.concatenate([before.obs, label]))
        action = jnp.array([0.1, -0.05])
        (_, after), (_, bare_after) = env.step(state, action, task), bare.step(expected, action, task.task)
        np.testing.assert_array_equal(after.obs, np.concatenate([bare_after.obs, label]))
        assert after.reward == bare_after.reward


def test_directions_have_labels_too():
    env = make("cheetah-dir/one-hot", physics="mujoco")
    assert env.spec.num_labels == 2 and env.physics.model.nu == 6


@pytest.mark.parametrize("name", ["point/one-hot", "point/pearl/one-hot"])
def test_families_without_labels(name):
    """Endlessly many tasks, or others in the test."""
    with pytest.raises(ConfigError, match="leave 'one-hot' out"):
        make(name)
