"""Meta-World's tasks behave as the installed package's do."""

import functools

import jax
import jax.numpy as jnp
import metaworld
import mujoco
import numpy as np
import pytest

from metarl_jax.benchmarks.metaworld import reference
from metarl_jax.envs import METAWORLD, make
from metarl_jax.envs.metaworld import FAMILIES, suites
from metarl_jax.envs.metaworld.env import HORIZON
from metarl_jax.errors import ConfigError

NUM_STEPS = 150
EVERY_DAY = list(FAMILIES)[::3]  # the others are beside them in kind: `pytest -m slow` has them


def families(names, every_day=EVERY_DAY):
    """Parametrisation over families, of which those `every_day` are not slow."""
    marked = [name if name in every_day else pytest.param(name, marks=pytest.mark.slow) for name in names]
    return pytest.mark.parametrize("name", marked)


@functools.cache
def make_pair(name):
    """Our environment and the package's, goal shown."""
    return make(f"metaworld/{name}/mt1", physics="mujoco"), make_theirs(name)


@functools.cache
def make_theirs(name):
    """The package's alone: tests in double precision must not leave an environment of ours to the others."""
    return reference.make_reference(name, suites.family_vectors(name, seed=0)[0], show_goal=True)


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


@families(FAMILIES)
def test_reset_observations(name):
    env, theirs = make_pair(name)
    vectors = suites.family_vectors(name, seed=1)[:5]
    _, timestep = jax.jit(jax.vmap(env.reset, in_axes=(None, 0)))(jax.random.key(0), jnp.asarray(vectors, float))
    for obs, vector in zip(timestep.obs, vectors, strict=True):
        reference.set_vector(theirs, vector, show_goal=True)
        np.testing.assert_allclose(obs, theirs.reset()[0], atol=1e-6)


def rounded_vector(name):
    """The same for both in single precision."""
    return suites.family_vectors(name, seed=0)[7].astype(np.float32).astype(float)


@functools.cache
def expert_episode(name):
    """A task vector, and what the package's expert did on it with noise on its actions."""
    vector = rounded_vector(name)
    theirs = make_theirs(name)
    reference.set_vector(theirs, vector, show_goal=True)
    return vector, reference.expert_episode(theirs, name, NUM_STEPS, noise=0.3, start="rounded")


@pytest.fixture
def double_precision():
    """For all threads: the physics' callback runs on one of XLA's."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@families(FAMILIES)
def test_steps_from_the_package_states(name, double_precision):
    errors = reference.step_errors(make(f"metaworld/{name}/mt1", physics="mujoco"), *expert_episode(name))
    worst = {key: error.max() for key, error in errors.items()}
    assert max(worst.values()) < 1e-5, worst  # the package computes some terms in single precision


@families(FAMILIES)
def test_steps_from_the_package_states_in_single_precision(name):
    """Every step, but those where the hand's target, rounded, moves a loose object on edge elsewhere."""
    errors = reference.step_errors(make_pair(name)[0], *expert_episode(name))
    alike = errors["qpos"] < 1e-5
    # The package's own model, its hand's target moved by 1e-12 m, moves alike in 0.45 of pick-place-wall's steps.
    assert alike.mean() > 0.4
    worst = {key: error[alike].max() for key, error in errors.items()}
    assert max(worst.values()) < 1e-4, worst


@families(name for name, family in FAMILIES.items() if family.reward_v1 is not None)
def test_first_reward_design(name, double_precision):
    vector = rounded_vector(name)
    theirs = reference.make_reference(name, vector, show_goal=True, reward="v1")
    episode = reference.expert_episode(theirs, name, NUM_STEPS, noise=0.1, start="rounded")
    assert np.abs(episode.reward).max() > 1.0  # the expert got as far as what counts most
    errors = reference.step_errors(make(f"metaworld/{name}/mt1/v1", physics="mujoco"), vector, episode)
    worst = {key: error.max() for key, error in errors.items()}
    assert max(worst.values()) < 1e-5, worst


@pytest.mark.parametrize("name", ["sweep-v3", "sweep-into-v3"])
def test_fallen_block_in_the_first_reward_design(name, double_precision):
    vector, places = rounded_vector(name), [(0.7, 0.7, -0.2), (0.0, 1.2, -0.2), (0.0, 0.2, -0.2)]
    theirs = reference.make_reference(name, vector, show_goal=True, reward="v1")
    remaining = iter(places)

    def drop_block(obs):
        theirs._set_obj_xyz(np.array(next(remaining)))
        return np.zeros(4, np.float32)

    episode = reference.play(theirs, drop_block, len(places), start="rounded")
    assert 0.0 in episode.reward
    errors = reference.step_errors(make(f"metaworld/{name}/mt1/v1", physics="mujoco"), vector, episode)
    assert max(error.max() for error in errors.values()) < 1e-5, errors


def test_families_of_the_first_reward_design():
    names = {*suites.SUITES["MT10"]["train"], *suites.SUITES["ML10"]["train"], *suites.SUITES["ML10"]["test"]}
    assert all(FAMILIES[name].reward_v1 is not None for name in names)
    with pytest.raises(ConfigError, match=r"'hammer-v3' has no reward 'v1'.*basketball-v3, "):
        make("metaworld/hammer-v3/mt1/v1")


@pytest.mark.parametrize("name", FAMILIES)
def test_scene_steps_as_the_package_model(name):
    """Bit for bit, while the hand wanders and the gripper opens and closes."""
    env, theirs = make_pair(name)
    scene, vector = env.scene, suites.family_vectors(name, seed=0)[0]
    ours, data = mujoco.MjData(scene.model), mujoco.MjData(theirs.model)
    if scene.fixture is not None:
        position = np.asarray(FAMILIES[name].fixture_pos(vector))
        ours.mocap_pos[scene.fixture] = theirs.model.body(FAMILIES[name].fixture).pos = position
    data.mocap_quat[0] = 1.0, 0.0, 1.0, 0.0
    rng, hand = np.random.default_rng(0), np.array(FAMILIES[name].hand_start)
    for _ in range(NUM_STEPS):
        hand = np.clip(hand + rng.uniform(-0.02, 0.02, 3), FAMILIES[name].hand_low, FAMILIES[name].hand_high)
        data.mocap_pos[0] = ours.mocap_pos[scene.hand] = hand
        data.ctrl[0] = ours.ctrl[0] = rng.uniform(-1, 1)
        data.ctrl[1] = ours.ctrl[1] = -data.ctrl[0]
        mujoco.mj_step(theirs.model, data, 5)
        mujoco.mj_step(scene.model, ours, 5)
        np.testing.assert_array_equal(ours.qpos, data.qpos)
        assert ours.ncon == data.ncon


@families(FAMILIES)
def test_free_running(name, double_precision):
    env, theirs = make(f"metaworld/{name}/mt1", physics="mujoco"), make_theirs(name)
    vector = suites.family_vectors(name, seed=0)[3]
    reference.set_vector(theirs, vector, show_goal=True)
    episode = reference.expert_episode(theirs, name, 50, noise=0.3)
    assert reference.free_running_error(env, vector, episode).max() < 1e-7  # which resets are rounded to


@families(FAMILIES)
def test_fresh_task_vectors(name):
    family = FAMILIES[name]
    keys = jax.random.split(jax.random.key(0), 500)
    vectors = np.asarray(jax.jit(jax.vmap(suites.sample_vector(family)))(keys))
    # Rejection thins out one side of the space, so that only the package's own draws tell where the middle is.
    theirs = np.concatenate([suites.family_vectors(name, seed) for seed in range(20)])
    slack = 1e-6
    assert (vectors >= np.array(family.low) - slack).all() and (vectors <= np.array(family.high) + slack).all()
    if family.min_distance_to is None and family.min_distance > 0:
        assert np.linalg.norm(vectors[:, :2] - vectors[:, -3:-1], axis=1).min() >= family.min_distance - slack
    spread = np.array(family.high) - np.array(family.low)
    np.testing.assert_allclose(vectors.mean(0), theirs.mean(0), atol=0.06 * spread.max())


COMPLETE_SUITES = [
    (suite, split)
    for suite, splits in suites.SUITES.items()
    for split, names in splits.items()
    if set(names) <= set(FAMILIES)
]


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "split"), COMPLETE_SUITES)
def test_suite_vectors_are_those_of_the_package(suite, split):
    benchmark = getattr(metaworld, suite)(seed=4)
    tasks = benchmark.train_tasks if split == "train" else benchmark.test_tasks
    vectors = suites.suite_vectors(suite, 4, split)
    assert list(vectors) == list(dict.fromkeys(task.env_name for task in tasks))
    for name, ours in vectors.items():
        theirs = reference.task_vectors([task for task in tasks if task.env_name == name])
        np.testing.assert_array_equal(ours, theirs)


def test_mjx_names_the_geometry_that_it_cannot_simulate():
    with pytest.raises(
        ConfigError, match=r"CYLINDER.*BOX.*collisions not implemented\. Use the 'mujoco' or the 'warp'"
    ):
        make("metaworld/reach-v3", physics="mjx")


def test_goal_is_hidden_for_meta_learning():
    env = make("metaworld/reach-v3/ml1", physics="mujoco")
    task = env.sample_task(jax.random.key(1))
    state, timestep = env.reset(jax.random.key(0), task)
    assert (timestep.obs[36:] == 0).all()
    assert (env.step(state, jnp.ones(4), task)[1].obs[36:] == 0).all()


@families(FAMILIES, EVERY_DAY[::4])  # two seconds each, for the package draws all of its tasks
def test_goal_vectors_are_those_of_the_package(name):
    benchmark = metaworld.ML1(name, seed=3)
    for split, tasks in (("train", benchmark.train_tasks), ("test", benchmark.test_tasks)):
        np.testing.assert_array_equal(suites.family_vectors(name, 3, split), reference.task_vectors(tasks))
