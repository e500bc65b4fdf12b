"""Meta-World's suites and the parts of its names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.envs import METAWORLD_SUITES, make
from metarl_jax.envs.metaworld import suites
from metarl_jax.errors import ConfigError


def test_every_suite_is_listed():
    assert set(METAWORLD_SUITES) == set(suites.SUITES)


@pytest.mark.parametrize("split", ["train", "test"])
def test_members_of_ml10(split):
    """Their tasks are the package's (tests of suites.py compare these), goal hidden."""
    suite = make("metaworld/ML10/seed=4", physics="mujoco", split=split)
    vectors = suites.suite_vectors("ML10", 4, split)
    assert [env.spec.name for env in suite.envs] == list(vectors)
    for env in suite.envs:
        np.testing.assert_allclose(env.tasks, vectors[env.spec.name], rtol=1e-6)
        assert env.spec._replace(name="") == suite.spec._replace(name="")


def test_one_hot_and_a_shown_goal():
    suite = make("metaworld/reach-v3+push-v3/mt1/one-hot", physics="mujoco", horizon=7)
    assert (suite.spec.obs_dim, suite.spec.horizon) == (41, 7)
    for index, env in enumerate(suite.envs):
        task = env.tasks[3]
        state, first = env.reset(jax.random.key(0), task)
        _, second = env.step(state, jnp.zeros(4), task)
        for timestep in (first, second):
            np.testing.assert_allclose(timestep.obs[36:38], task[3:5], atol=1e-6)  # push sets its own height
            np.testing.assert_array_equal(timestep.obs[39:], np.eye(2)[index])


def test_fresh_tasks_are_for_training_alone():
    train, test = (make("metaworld/push-v3/ml1/fresh", physics="mujoco", split=split) for split in ("train", "test"))
    assert train.tasks is None
    np.testing.assert_allclose(test.tasks, suites.family_vectors("push-v3", 0, "test"), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("metaworld/ML100", "did you mean 'ML10'"),
        ("metaworld/reach-v3+pusk-v3", "did you mean 'push-v3'"),
        ("metaworld/reach-v3/ml2", "did you mean 'ml1'"),
        ("metaworld/ML10/ml1", "an option of single tasks"),
        ("metaword/ML10", "environment"),
        ("metaworld/ML10/seed=x", "option"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(ConfigError, match=message):
        make(name)


def test_a_suite_in_one_rollout_steps_as_its_members_alone():
    suite = make("metaworld/reach-v3+drawer-close-v3/ml1", physics="mujoco", horizon=3)
    tasks = rollout.sample_tasks(suite, jax.random.key(0), 4)
    actions = jax.random.uniform(jax.random.key(1), (4, 1, 4), minval=-1.0, maxval=1.0)

    def act(obs, history, key):
        return (), rollout.ActionSample(actions, actions, (), obs[..., 0])

    start = rollout.start(suite, tasks, jax.random.key(2), (4, 1))
    _, t = jax.jit(lambda state: rollout.collect(suite, act, tasks, state, jax.random.key(3), 4))(start)
    for n in range(4):
        env, task = suite.envs[n // 2], tasks[n // 2][n % 2]
        state, timestep = env.reset(jax.random.key(0), task)
        for step in range(3):
            np.testing.assert_allclose(t.obs_tm1[n, 0, step], timestep.obs, atol=1e-6)
            state, timestep = jax.jit(env.step)(state, actions[n, 0], task)
            np.testing.assert_allclose(t.reward_t[n, 0, step], timestep.reward, rtol=1e-4)
        assert t.last_t[n, 0, 2]
        np.testing.assert_allclose(t.obs_tm1[n, 0, 3], t.obs_tm1[n, 0, 0], atol=1e-6)  # a new episode, the same task
