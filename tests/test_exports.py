"""Our environments behind the interfaces of Gymnasium, Stable-Baselines3 and brax."""

import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from metarl_jax import envs
from metarl_jax.envs.exports.gymnasium import MetaSingleEnv, MetaVectorEnv, names
from metarl_jax.errors import ConfigError
from metarl_jax.types import Suite


@pytest.fixture(scope="module")
def points():
    """The point on the plane, whose step and reward are a line of NumPy; four worlds."""
    return envs.as_gymnasium("point", 4, seed=1)


def actions_of(worlds, count, scale=1.0):
    rng = np.random.default_rng(5)
    return scale * rng.uniform(-1.0, 1.0, (count, *worlds.action_space.shape))


# Gymnasium.


def test_steps_are_those_of_the_environment(points):
    """Positions add up clipped actions, rewards are minus distances, the time limit truncates; after it a fresh start."""
    obs, infos = points.reset(seed=3)
    goals = infos["task"].astype(np.float64)
    assert obs.shape == goals.shape == (4, 2) and infos["_task"].all() and obs.dtype == np.float32
    assert len(np.unique(goals)) == 8 and np.abs(obs).max() <= 1.0
    position, starts = obs.astype(np.float64), [obs]
    for t, action in enumerate(actions_of(points, 45, 0.2), start=1):
        obs, reward, terminated, truncated, infos = points.step(action)
        position = position + np.clip(action, -0.1, 0.1)
        np.testing.assert_allclose(reward, -np.linalg.norm(position - goals, axis=1), rtol=1e-4)
        assert not terminated.any() and truncated.all() == (t % 20 == 0) == truncated.any()
        assert ("final_obs" in infos) == ("task" in infos) == truncated.all()
        if truncated.all():
            np.testing.assert_array_equal(infos["task"], goals.astype(np.float32))
            np.testing.assert_allclose(np.stack(infos["final_obs"]), position, rtol=1e-4, atol=1e-6)
            position = obs.astype(np.float64)
            starts.append(obs)
        np.testing.assert_allclose(obs, position, rtol=1e-4, atol=1e-6)
    assert len(np.unique(starts)) == 3 * 8


def test_a_terminated_world_alone_begins_anew():
    """Of three, the one at whose goal a step leads, from 0 where all start; and what is told of its end."""
    worlds = envs.as_gymnasium("point/maml", 3)
    worlds.set_tasks(np.array([[0.3, 0.0], [0.05, 0.05], [-0.3, 0.2]]))
    with pytest.raises(gymnasium.error.ResetNeeded):
        worlds.step(np.zeros((3, 2)))
    worlds.reset()
    obs, reward, terminated, truncated, infos = worlds.step(np.full((3, 2), 0.05))
    assert terminated.tolist() == [False, True, False] and not truncated.any()
    np.testing.assert_allclose(obs, [[0.05, 0.05], [0.0, 0.0], [0.05, 0.05]], atol=1e-7)
    np.testing.assert_allclose(infos["final_obs"][1], [0.05, 0.05], atol=1e-7)
    assert infos["final_obs"][0] is None and infos["_final_obs"].tolist() == [False, True, False]
    assert infos["_final_info"].tolist() == [False, True, False]
    np.testing.assert_allclose(reward, [-np.hypot(0.25, 0.05), 0.0, -np.hypot(0.35, 0.15)], atol=1e-6)
    worlds.reset(seed=1)  # tasks that were given stay
    np.testing.assert_allclose(worlds.tasks[1], [0.05, 0.05])
    with pytest.raises(ConfigError, match=r"these tasks have the shapes \(2, 2\)"):
        worlds.set_tasks(np.zeros((2, 2)))


def test_seeds(points):
    first, about = points.reset(seed=7)
    states = [points.step(action)[0] for action in actions_of(points, 25)]
    again, about_again = points.reset(seed=7)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(about["task"], about_again["task"])
    np.testing.assert_array_equal(states, [points.step(action)[0] for action in actions_of(points, 25)])
    later, about_later = points.reset()  # other starts, the same tasks
    np.testing.assert_array_equal(about["task"], about_later["task"])
    other, about_other = points.reset(seed=8)
    assert not np.isin(later, first).any() and not np.isin(other, first).any()
    assert not np.isin(about_other["task"], about["task"]).any()
    by_constructor = envs.as_gymnasium("point", 4, seed=7)
    np.testing.assert_array_equal(by_constructor.reset()[0], first)
    np.testing.assert_array_equal(points.draw_tasks(0), by_constructor.draw_tasks(0))


class Solvable:
    """A world that is solved where its position is near its goal, which is told at each step."""

    def __init__(self, point, name):
        self._point = point
        self.spec = point.spec._replace(name=name, has_success=True)
        self.tasks, self.sample_task = None, point.sample_task

    def reset(self, key, task):
        state, timestep = self._point.reset(key, task)
        return state, timestep._replace(info={"success": jnp.zeros(())})

    def step(self, state, action, task):
        state, timestep = self._point.step(state, action, task)
        return state, timestep._replace(info={"success": (timestep.reward > -0.8).astype(float)})


@pytest.fixture(scope="module")
def suite(make_point):
    members = tuple(Solvable(make_point(horizon=6), name) for name in ("left", "right"))
    return Suite(members[0].spec._replace(name="both"), members)


def test_a_suite_and_its_success(suite):
    worlds = MetaVectorEnv(suite, 6, seed=0)
    _, infos = worlds.reset()
    assert infos["task_env"].tolist() == ["left"] * 3 + ["right"] * 3
    goals = np.stack(infos["task"])
    np.testing.assert_allclose(np.linalg.norm(goals, axis=1), 1.0, rtol=1e-5)
    seen = []
    for _step in range(6):
        _, reward, _, truncated, infos = worlds.step(0.1 * goals)
        near = reward > -0.8
        told = infos["final_info"]["success"] if truncated.all() else infos["success"]
        np.testing.assert_array_equal(told > 0, near)
        seen.append(near.mean())
    assert truncated.all() and seen[-1] == 1.0 and seen[0] < 1.0
    assert not infos["success"].any()  # of the fresh episodes, in which nothing has happened
    with pytest.raises(ConfigError, match="num_envs 5 cannot be split evenly"):
        MetaVectorEnv(suite, 5)
    with pytest.raises(ConfigError, match="at least 1"):
        MetaVectorEnv(suite, 0)


def test_discrete_actions():
    worlds = envs.as_gymnasium("bandit/5", 3, seed=0)
    assert worlds.single_action_space == gymnasium.spaces.Discrete(5)
    worlds.set_tasks(np.eye(5)[[1, 4, 2]])  # arms that always pay, among such that never do
    worlds.reset()
    np.testing.assert_array_equal(worlds.step(np.array([1, 4, 0]))[1], [1.0, 1.0, 0.0])
    with pytest.raises(ConfigError, match=r"actions must have the shape \(3,\), not \(2,\)"):
        worlds.step(np.zeros(2))
    for bad in ([0, 1, 5], [0, -1, 2], [0.0, 1.0, 2.0]):
        with pytest.raises(ConfigError, match=r"whole numbers in \[0, 5\)"):
            worlds.step(np.array(bad))


def test_actions_that_are_no_numbers(points):
    points.reset()
    actions = points.action_space.sample()
    actions[0, 0] = np.nan
    with pytest.raises(ConfigError, match="must be finite"):
        points.step(actions)


def test_a_single_world_waits_for_reset():
    world = MetaSingleEnv(envs.make("bandit/5", horizon=2), seed=0)
    world.reset()
    assert [world.step(0)[3] for _ in range(2)] == [False, True]
    with pytest.raises(gymnasium.error.ResetNeeded):
        world.step(0)
    world.reset()
    assert not world.step(0)[3]


@pytest.mark.parametrize("name", ["point", "bandit/5"])
def test_gymnasiums_own_check(name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*infinity.*")  # observations have no bounds
        check_env(MetaSingleEnv(envs.make(name, horizon=4)), skip_render_check=True)


def test_names_that_are_registered():
    worlds = gymnasium.make_vec("metarl/point.maml", num_envs=2, horizon=3)
    assert worlds.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP and worlds.spec.id == "metarl/point.maml"
    worlds = RecordEpisodeStatistics(worlds)
    worlds.reset(seed=0)
    rewards = []
    for action in actions_of(worlds, 3):
        _, reward, _, _, infos = worlds.step(action)
        rewards.append(reward)
    np.testing.assert_allclose(infos["episode"]["r"], np.sum(rewards, axis=0), rtol=1e-5)
    env = gymnasium.make("metarl/point", horizon=3)
    obs, info = env.reset(seed=0)
    assert env.observation_space.contains(obs) and info["task"].shape == (2,)
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    ids = {f"metarl/{name.replace('/', '.')}" for name in names()}
    assert ids <= set(gymnasium.registry) and "metarl/metaworld.reach-v3.mt1" in ids


@pytest.mark.slow
def test_metaworld_steps_as_it_does_in_a_rollout():
    """Against the environment itself, step by step, for worlds of two tasks."""
    suite = envs.make("metaworld/reach-v3+push-v3", horizon=5)
    worlds = MetaVectorEnv(suite, 2, seed=0)
    obs, infos = worlds.reset()
    states = []
    for i, member in enumerate(suite.envs):
        state, timestep = jax.jit(member.reset)(jax.random.key(0), worlds.tasks[i][0])
        np.testing.assert_allclose(
            timestep.obs, obs[i], atol=1e-6
        )  # a reset of Meta-World depends on nothing but the task
        states.append(state)
    steps = [jax.jit(member.step) for member in suite.envs]
    for action in actions_of(worlds, 5):
        obs, reward, _, truncated, infos = worlds.step(action)
        for i, step in enumerate(steps):
            states[i], timestep = step(states[i], jnp.asarray(action[i], jnp.float32), worlds.tasks[i][0])
            seen = infos["final_obs"][i] if truncated[i] else obs[i]
            np.testing.assert_allclose(timestep.obs, seen, atol=1e-5)
            np.testing.assert_allclose(timestep.reward, reward[i], rtol=1e-4)
            told = infos["final_info"] if truncated[i] else infos
            for name, value in timestep.info.items():
                np.testing.assert_allclose(told[name][i], value, rtol=1e-4, atol=1e-6)
    assert truncated.all()


# Stable-Baselines3.


def test_stable_baselines3_is_told_of_episodes(suite):
    sb3 = pytest.importorskip("metarl_jax.envs.exports.sb3", reason="stable-baselines3 is not installed")
    worlds = sb3.MetaVecEnv(MetaVectorEnv(suite, 4, seed=0))
    first = worlds.reset()
    goals = np.concatenate(worlds.worlds.tasks)
    assert first.shape == goals.shape == (4, 2)
    total = np.zeros(4)
    for t in range(12):
        _, reward, done, infos = worlds.step(0.1 * goals)
        total += reward
        assert done.all() == (t % 6 == 5) == done.any() and len(infos) == 4
        if done.all():
            for i, info in enumerate(infos):
                assert info["TimeLimit.truncated"] and info["is_success"]
                assert info["episode"]["l"] == 6 and info["episode"]["r"] == pytest.approx(total[i], rel=1e-5)
                assert np.linalg.norm(info["terminal_observation"] - goals[i]) < 0.8
            total[:] = 0.0
    worlds.seed(4)
    first = worlds.reset()
    worlds.seed(4)
    np.testing.assert_array_equal(first, worlds.reset())


@pytest.mark.slow
def test_stable_baselines3_learns_to_reach():
    """Its PPO, as it comes: success in reach-v3, in episodes of 150 steps, rises above 0.8."""
    pytest.importorskip("stable_baselines3")
    import torch
    from stable_baselines3 import PPO

    torch.set_num_threads(1)  # its threads would wait busily on the cores that MuJoCo's need
    worlds = envs.as_sb3("metaworld/reach-v3/mt1", 64, seed=0, horizon=150)
    settings = {"n_steps": 150, "batch_size": 1920, "n_epochs": 10, "learning_rate": 1e-3, "gamma": 0.97}
    model = PPO("MlpPolicy", worlds, device="cpu", seed=0, **settings)
    before = np.mean([info["is_success"] for info in _episodes(model, worlds)])
    model.learn(2_000_000)
    assert np.mean([info["is_success"] for info in _episodes(model, worlds)]) > max(0.8, before)


def _episodes(model, worlds):
    """What is told of an episode of each world, played by the most likely actions."""
    obs, done = worlds.reset(), np.zeros(1, bool)
    while not done.all():
        obs, _, done, infos = worlds.step(model.predict(obs, deterministic=True)[0])
    return infos


# brax.


def test_brax_wraps_and_steps_ours():
    """In brax's own wrappers: many worlds, the time limit, the return to the first state; against a line of NumPy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("brax.envs.base")
        from brax.envs.wrappers.training import wrap
    env = envs.as_brax("point")
    assert (env.observation_size, env.action_size, env.horizon) == (2, 2, 20)
    many = wrap(env, episode_length=4)
    reset, step = jax.jit(many.reset), jax.jit(many.step)
    state = reset(jax.random.split(jax.random.PRNGKey(0), 3))
    goals, first = np.asarray(state.info["task"], np.float64), np.asarray(state.obs)
    assert len(np.unique(goals)) == 6
    position = first.astype(np.float64)
    for t, action in enumerate(np.random.default_rng(0).uniform(-1.5, 1.5, (9, 3, 2)), start=1):
        state = step(state, jnp.asarray(action))
        position = position + 0.1 * np.clip(action, -1.0, 1.0)
        np.testing.assert_allclose(state.reward, -np.linalg.norm(position - goals, axis=1), rtol=1e-4)
        assert np.asarray(state.done).tolist() == [float(t % 4 == 0)] * 3
        if t % 4 == 0:
            position = first.astype(np.float64)
        np.testing.assert_allclose(state.obs, position, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(state.info["task"], goals.astype(np.float32))
    for name, words in (("bandit/5", "discrete"), ("metaworld/MT10", "suite")):
        with pytest.raises(ConfigError, match=words):
            envs.as_brax(name)
