"""Meta-World's tasks behave as the installed package's do."""

import functools

import jax
import jax.numpy as jnp
import metaworld

import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from metarl_jax.benchmarks.metaworld import reference
from metarl_jax.envs import METAWORLD, make
from metarl_jax.envs.metaworld import FAMILIES, suites
from metarl_jax.envs.metaworld.env import HORIZON

NUM_STEPS = 150


@functools.cache
def make_pair(name):
    """Our environment and the package's, goal shown."""
    vectors = suites.family_vectors(name, seed=0)
    return make(f"metaworld/{name}/mt1", physics="mujoco"), reference.make_reference(name, vectors[0], show_goal=True)


def test_every_family_is_registered():
    assert sorted(METAWORLD) == sorted(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_constants(name):
    env, theirs = make_pair(name)
    family = FAMILIES[name]
    assert family.scene == theirs.model_name.split("/")[-1]
    np.testing.assert_allclose(family.low, theirs._random_reset_space.low)
    np.testing.assert_allclose(family.high, theirs._random_reset_space.high)
    np.testing.assert_allclose(family.goal_low, theirs.goal_space.low)
    np.testing.assert_allclose(family.goal_high, theirs.goal_space.high)
    np.testing.assert_allclose(family.hand_low, theirs.mocap_low)
    np.testing.assert_allclose(family.hand_high, theirs.mocap_high)
    np.testing.assert_allclose(family.hand_start, theirs.hand_init_pos, atol=1e-7)
    assert env.spec.obs_dim == theirs.observation_space.shape[0]
    assert env.spec.horizon == theirs.max_path_length == HORIZON


@pytest.mark.parametrize("name", FAMILIES)
def test_reset_observations(name):
    env, theirs = make_pair(name)
    vectors = suites.family_vectors(name, seed=1)[:5]
    _, timestep = jax.jit(jax.vmap(env.reset, in_axes=(None, 0)))(jax.random.key(0), jnp.asarray(vectors, float))
    for obs, vector in zip(timestep.obs, vectors, strict=True):
        reference.set_vector(theirs, vector, show_goal=True)
        np.testing.assert_allclose(obs, theirs.reset()[0], atol=1e-6)


@functools.cache
def expert_episode(name):
    """A task vector, and what the package's expert did on it with noise on its actions."""
    vector = suites.family_vectors(name, seed=0)[7]
    theirs = make_pair(name)[1]
    reference.set_vector(theirs, vector, show_goal=True)
    return vector, reference.expert_episode(theirs, name, NUM_STEPS, noise=0.3, rounded=True)


@pytest.fixture
def double_precision():
    """For all threads: the physics' callback runs on one of XLA's."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("name", FAMILIES)
def test_steps_from_the_package_states(name, double_precision):
    errors = reference.step_errors(make(f"metaworld/{name}/mt1", physics="mujoco"), *expert_episode(name))
    worst = {key: error.max() for key, error in errors.items()}
    assert max(worst.values()) < 1e-6, worst


@pytest.mark.parametrize("name", FAMILIES)
def test_steps_from_the_package_states_in_single_precision(name):
    """Every step, but those where the hand's target, rounded, moves a loose object on edge elsewhere."""
    errors = reference.step_errors(make_pair(name)[0], *expert_episode(name))
    alike = errors["qpos"] < 1e-5
    assert alike.mean() > 0.5
    worst = {key: error[alike].max() for key, error in errors.items()}
    assert max(worst.values()) < 1e-4, worst


def test_goal_is_hidden_for_meta_learning():
    env = make("metaworld/reach-v3/ml1", physics="mujoco")
    task = env.sample_task(jax.random.key(1))
    state, timestep = env.reset(jax.random.key(0), task)
    assert (timestep.obs[36:] == 0).all()
    assert (env.step(state, jnp.ones(4), task)[1].obs[36:] == 0).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_goal_vectors_are_those_of_the_package(name):
    benchmark = metaworld.ML1(name, seed=3)
    for split, tasks in (("train", benchmark.train_tasks), ("test", benchmark.test_tasks)):
        np.testing.assert_array_equal(suites.family_vectors(name, 3, split), reference.task_vectors(tasks))
