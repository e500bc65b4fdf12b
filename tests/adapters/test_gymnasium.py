"""Gymnasium's environments on the host: what the rollout says against the package's own episodes."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from metarl_jax import rollout
from metarl_jax.envs import make
from metarl_jax.envs.adapters import gymnasium as adapter
from metarl_jax.envs.adapters.gymnasium import GymnasiumEnv
from metarl_jax.envs.labelled import labelled
from metarl_jax.errors import ConfigError

E, T, HORIZON = 3, 12, 5


class Counter(gymnasium.Env):
    """Observes how often it was reset, where it began, and the sum of its actions since; ends at a sum of 3 or more.

    An action of more than 9 truncates.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = spaces.Box(-1.0, 10.0, (1,), np.float32)

    def __init__(self):
        self.resets = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.resets, self.start, self.total = self.resets + 1, self.np_random.random(), 0.0
        return self._obs(), {}

    def step(self, action):
        self.total += float(action[0])
        return self._obs(), 2.0 * self.total, self.total >= 3.0 and action[0] < 9.0, bool(action[0] > 9.0), {}

    def _obs(self):
        return np.array([self.resets, self.start, self.total])


def counters(mode, limit=HORIZON):
    limited = lambda: gymnasium.wrappers.TimeLimit(Counter(), limit)  # noqa: E731
    return lambda size: SyncVectorEnv([limited] * size, autoreset_mode=mode)


def play(env, actions, key, shape=(1, E)):
    """The rollout of given actions, `[T, *shape, ...]`."""
    tasks = rollout.sample_tasks(env, jax.random.key(0), shape[0])

    def act(obs, history, key):
        action = actions[history.carry[0, 0]]
        raw = jax.nn.one_hot(action, env.spec.action_dim) if env.spec.discrete else action
        return history.carry + 1, rollout.ActionSample(raw, action, (), obs[..., 0])

    @jax.jit
    def go(tasks, key):
        state = rollout.start(env, tasks, key, shape, rollout.no_history(env.spec, shape, jnp.zeros(shape, int)))
        return rollout.collect(env, act, tasks, state, key, len(actions))

    return jax.tree.map(np.asarray, go(tasks, key))


@pytest.mark.parametrize("mode", [AutoresetMode.DISABLED, AutoresetMode.SAME_STEP])
def test_episodes(mode):
    """World 0 runs into the time limit, world 1 terminates, world 2 is truncated by itself; each then begins anew."""
    env = GymnasiumEnv(f"counter-{mode}", counters(mode), HORIZON)
    actions = np.zeros((T, 1, E, 1), np.float32)
    actions[..., 0, 0], actions[..., 1, 0] = 0.25, 1.0
    actions[3, 0, 2] = 9.5
    _, t = play(env, jnp.asarray(actions), jax.random.key(1))
    obs_tm1, obs, reward = t.obs_tm1[0], t.obs_t[0], t.reward_t[0]
    last = np.zeros((E, T), bool)
    last[0, [4, 9]], last[1, [2, 5, 8, 11]], last[2, [3, 8]] = True, True, True
    np.testing.assert_array_equal(t.last_t[0], last)
    np.testing.assert_array_equal(t.terminated_t[0], last & (np.arange(E) == 1)[:, None])
    np.testing.assert_allclose(obs[0, :5, 2], 0.25 * np.arange(1, 6))
    np.testing.assert_allclose(obs[1, [2, 5], 2], 3.0)  # the final observation, not the next episode's first
    np.testing.assert_allclose(obs[2, [2, 3, 4], 2], [0.0, 9.5, 0.0])
    np.testing.assert_allclose(reward, 2.0 * obs[..., 2])
    np.testing.assert_array_equal(obs_tm1[:, 1:][~last[:, :-1]], obs[:, :-1][~last[:, :-1]])
    after = obs_tm1[:, 1:][last[:, :-1]]
    assert (after[:, 2] == 0).all() and len(np.unique(after[:, 1])) == len(after)  # from somewhere else each time
    episodes = 1 + np.cumsum(last, axis=1) - last
    np.testing.assert_array_equal(obs[..., 0], episodes)  # nothing was reset that had not ended


def test_cartpole_is_the_package_cartpole():
    """Its own environment under the seeds that the adapter draws, to the final observation at the time limit."""
    env = make("gymnasium/CartPole-v1", horizon=HORIZON)
    assert (env.spec.discrete, env.spec.action_dim, env.spec.obs_dim) == (True, 2, 4)
    actions = jax.random.randint(jax.random.key(0), (HORIZON, 1, E), 0, 2)
    key = jax.random.key(1)
    _, t = play(env, actions, key)
    assert t.last_t[..., -1].all() and not t.terminated_t.any()
    for e, each in enumerate(jax.random.split(key, (1, E))[0]):
        theirs = gymnasium.make("CartPole-v1")
        obs, _ = theirs.reset(seed=int(jax.random.bits(each)))
        for i in range(HORIZON):
            np.testing.assert_array_equal(t.obs_tm1[0, e, i], obs)
            obs, reward, *_ = theirs.step(int(actions[i, 0, e]))
            np.testing.assert_array_equal(t.obs_t[0, e, i], obs)
            assert t.reward_t[0, e, i] == reward


def test_the_same_key_is_the_same_rollout():
    env = GymnasiumEnv("counter", counters(AutoresetMode.DISABLED), HORIZON)
    actions = jnp.zeros((T, 2, E, 1))
    (_, one), (_, two), (_, other) = (play(env, actions, jax.random.key(seed), (2, E)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.obs_t[..., 1:], two.obs_t[..., 1:])
    assert not (one.obs_t[..., 1] == other.obs_t[..., 1]).any()


def test_an_episode_that_cannot_go_on(monkeypatch):
    """From a state of another process, or of the past, one step in which nothing happens cuts it off; then comes a fresh one."""
    env = GymnasiumEnv("counter", counters(AutoresetMode.DISABLED), HORIZON)
    actions = jnp.full((3, 1, E, 1), 0.5)
    tasks = rollout.sample_tasks(env, jax.random.key(0), 1)
    act = lambda obs, history, key: (  # noqa: E731
        (),
        rollout.ActionSample(jnp.ones((1, E, 1)), jnp.ones((1, E, 1)), (), obs[..., 0]),
    )
    go_on = jax.jit(lambda state, key: rollout.collect(env, act, tasks, state, key, 2))
    past, _ = play(env, actions, jax.random.key(0))
    past = past._replace(history=rollout.no_history(env.spec, (1, E)))
    go_on(past, jax.random.key(1))
    for lost in ("past", "process"):
        if lost == "process":
            monkeypatch.setattr(adapter, "_worlds", {})
        _, t = go_on(past, jax.random.key(2))
        np.testing.assert_array_equal(t.last_t[0], [[True, False]] * E)
        np.testing.assert_array_equal(t.obs_t[0, :, 0], past.obs[0])
        assert (t.reward_t[0, :, 0] == 0).all() and not t.terminated_t.any()
        np.testing.assert_allclose(t.obs_tm1[0, :, 1, 2], 0.0)
        np.testing.assert_allclose(t.obs_t[0, :, 1, 2], 1.0)


def test_worlds_are_used_again(monkeypatch):
    """Not more are made than are kept, and those that are in use stay."""
    monkeypatch.setattr(adapter, "_worlds", {})
    made = []
    make_vector = counters(AutoresetMode.DISABLED, 100)
    env = GymnasiumEnv("kept", lambda size: made.append(size) or make_vector(size), 100)
    step, task = jax.jit(env.step), env.tasks[0]
    state, _ = env.reset(jax.random.key(0), task)
    for seed in range(3 * adapter._KEPT):
        env.reset(jax.random.key(seed), task)
        state, timestep = step(state, jnp.zeros(1), task)
        assert not timestep.truncated
    same, _ = jax.jit(env.restart)(jnp.array(False), state, jax.random.key(0), task)  # as on one of several devices
    jax.tree.map(np.testing.assert_array_equal, same, state)
    assert len(made) == 1 + adapter._KEPT == 1 + len(adapter._worlds)


class Other(gymnasium.Env):
    """Integers from 5 to 8, in observations and actions, in a dictionary."""

    observation_space = spaces.Dict({"state": spaces.Discrete(4, start=5), "time": spaces.Box(0, 1)})
    action_space = spaces.Discrete(4, start=5)

    def reset(self, *, seed=None, options=None):
        return {"state": 5, "time": np.zeros(1, np.float32)}, {}

    def step(self, action):
        return {"state": int(action), "time": np.zeros(1, np.float32)}, 0.0, False, False, {}


def test_integers_and_dictionaries():
    env = GymnasiumEnv("other", lambda size: SyncVectorEnv([Other] * size, autoreset_mode="Disabled"), HORIZON)
    _, t = play(env, jnp.array([0, 3, 2])[:, None, None] * jnp.ones((1, 1, E), int), jax.random.key(0))
    assert env.spec.discrete and (env.spec.obs_dim, env.spec.action_dim) == (4, 4)
    np.testing.assert_array_equal(t.obs_tm1[0, 0], np.eye(4)[[0, 0, 3]])
    np.testing.assert_array_equal(t.obs_t[0, 0], np.eye(4)[[0, 3, 2]])


def test_labels():
    """They stand behind the observations of first, later and final steps alike."""
    env = GymnasiumEnv("counter", counters(AutoresetMode.DISABLED), HORIZON)
    _, t = play(labelled("counter/one-hot", env, env), jnp.zeros((T, 1, E, 1)), jax.random.key(0))
    assert (t.obs_tm1[..., 3:] == 1).all() and (t.obs_t[..., 3:] == 1).all()
    np.testing.assert_array_equal(t.obs_t[0, 0, :, 0], 1 + np.arange(T) // HORIZON)


def test_a_time_limit_that_is_not_the_horizon():
    """Under SAME_STEP nothing but the environment can end an episode."""
    env = GymnasiumEnv("late", counters(AutoresetMode.SAME_STEP, HORIZON + 1), HORIZON)
    with pytest.raises(jax.errors.JaxRuntimeError, match="'late' does not end its episodes after 5 steps"):
        play(env, jnp.zeros((HORIZON, 1, E, 1)), jax.random.key(0))


def of_spaces(observed, acted):
    class Spaces(Counter):
        observation_space, action_space = observed, acted

    return lambda size: SyncVectorEnv([Spaces] * size, autoreset_mode=AutoresetMode.DISABLED)


@pytest.mark.parametrize(
    ("make_vector", "words"),
    [
        (counters(AutoresetMode.NEXT_STEP), "the autoreset mode NEXT_STEP, .*: DISABLED and SAME_STEP"),
        (of_spaces(spaces.Text(3), Counter.action_space), "observes Text"),
        (of_spaces(spaces.Dict(pixels=spaces.Box(0, 1)), Counter.action_space), "one of these under 'state'"),
        (of_spaces(Counter.observation_space, spaces.MultiDiscrete([2, 3])), "takes actions from MultiDiscrete"),
        (of_spaces(Counter.observation_space, spaces.Box(0, 5, (2,), np.int32)), "a Box of real numbers"),
    ],
)
def test_what_cannot_be_stepped(make_vector, words):
    with pytest.raises(ConfigError, match=words):
        GymnasiumEnv("bad", make_vector, HORIZON)


@pytest.mark.parametrize(
    ("name", "physics", "words"),
    [
        ("gymnasium/CartPole-v2", "auto", "'CartPole-v2'"),
        ("gymnasium/CortPole-v1", "auto", "did you mean 'CartPole-v1'"),
        ("gymnasium/no_such_module:Env-v0", "auto", "no_such_module"),
        ("gymnasium/CartPole-v1", "mjx", "brings its own physics"),
    ],
)
def test_bad_names(name, physics, words):
    with pytest.raises(ConfigError, match=words):
        make(name, physics=physics)


def test_what_needs_another_package(monkeypatch):
    def lacking():
        raise gymnasium.error.DependencyNotInstalled("Box2D is not installed")

    spec = gymnasium.envs.registration.EnvSpec("Lacking-v0", lacking, max_episode_steps=3)
    monkeypatch.setitem(gymnasium.registry, "Lacking-v0", spec)
    with pytest.raises(ConfigError, match="'gymnasium/Lacking-v0' cannot be made: Box2D is not installed"):
        make("gymnasium/Lacking-v0")


def test_no_time_limit(monkeypatch):
    monkeypatch.setitem(gymnasium.registry, "Counter-v0", gymnasium.envs.registration.EnvSpec("Counter-v0", Counter))
    with pytest.raises(ConfigError, match="has no time limit: give one with --horizon"):
        make("gymnasium/Counter-v0")
    assert make("gymnasium/Counter-v0", horizon=3).spec.horizon == 3
