"""gymnax's environments under our rollout, against the installed package; it wants a Gymnasium before 1.4."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.envs import make
from metarl_jax.envs.adapters.gymnax import GymnaxEnv
from metarl_jax.errors import ConfigError

gymnax = pytest.importorskip("gymnax")

HORIZON = 4


def lengths(params, key):
    """Poles of U[0.1, 2] of half a length, m; what else it would change stays as it is."""
    return params.replace(length=jax.random.uniform(key, minval=0.1, maxval=2.0), max_steps_in_episode=1)


def cartpole():
    env, params = gymnax.make("CartPole-v1")
    return env, params.replace(max_steps_in_episode=HORIZON)


@pytest.fixture(scope="module")
def run():
    """Two tasks, two episodes in a row and the beginning of a third: the actions, and what the rollout says."""
    env = GymnaxEnv("cartpole", *cartpole(), lengths)
    tasks = rollout.sample_tasks(env, jax.random.key(0), 2)
    actions = jax.random.randint(jax.random.key(1), (2 * HORIZON + 1, 2, 1), 0, 2)

    def act(obs, history, key):
        action = actions[history.carry[0, 0]]
        return history.carry + 1, rollout.ActionSample(jax.nn.one_hot(action, 2), action, (), obs[..., 0])

    @jax.jit
    def go(tasks, key):
        history = rollout.no_history(env.spec, (2, 1), jnp.zeros((2, 1), int))
        state = rollout.start(env, tasks, key, (2, 1), history)
        return rollout.collect(env, act, tasks, state, key, len(actions))[1]

    return env, tasks, actions, jax.tree.map(lambda x: np.asarray(x[:, 0]), go(tasks, jax.random.key(2)))


def test_spec_and_tasks(run):
    env, tasks, _, _ = run
    assert (env.spec.obs_dim, env.spec.action_dim, env.spec.discrete, env.spec.horizon) == (4, 2, True, HORIZON)
    assert (tasks.max_steps_in_episode == HORIZON).all() and len(np.unique(tasks.length)) == 2
    assert (tasks.gravity == np.float32(9.8)).all()


def test_episodes_are_the_package_episodes(run):
    """Its own step, resets and all, from our first observation, with the task's parameters: to the final observation."""
    _, tasks, actions, t = run
    env, _ = cartpole()
    state_class = type(jax.eval_shape(env.reset, jax.random.key(0))[1])
    step = jax.jit(env.step)
    for n in range(2):
        params = jax.tree.map(lambda x, n=n: x[n], tasks)
        for begin in (0, HORIZON):
            state = state_class(0, *map(jnp.asarray, t.obs_tm1[n, begin]))
            for i in range(begin, begin + HORIZON):
                _, state, reward, terminated, truncated, info = step(jax.random.key(i), state, actions[i, n, 0], params)
                np.testing.assert_allclose(t.obs_t[n, i], info["final_observation"], rtol=1e-5, atol=1e-6)
                assert (t.reward_t[n, i], t.terminated_t[n, i]) == (reward, terminated)
                assert t.last_t[n, i] == truncated == (i == begin + HORIZON - 1)


def test_resets_differ(run):
    firsts = run[3].obs_tm1[:, ::HORIZON].reshape(-1, 4)
    assert len(np.unique(firsts, axis=0)) == 6


@pytest.mark.parametrize("draw", [lambda params: params, lambda params, key: 3])
def test_what_cannot_draw_tasks(draw):
    with pytest.raises(ConfigError, match=r"'bad': what draws its tasks must be a function \(params, key\) -> params"):
        GymnaxEnv("bad", *cartpole(), draw)


def test_a_single_task_of_real_actions():
    env = make("gymnax/Pendulum-v1", horizon=7)
    assert (env.spec.action_low, env.spec.action_high, env.spec.discrete) == ((-2.0,), (2.0,), False)
    assert env.spec.horizon == 7 and len(env.tasks) == 1
    state, first = env.reset(jax.random.key(0), env.tasks[0])
    theirs, params = gymnax.make("Pendulum-v1")
    obs, _, reward, *_ = theirs.step_env(jax.random.key(0), state.state, jnp.array([0.5]), params)
    _, timestep = env.step(state, jnp.array([0.5]), env.tasks[0])
    np.testing.assert_allclose(timestep.obs, obs, rtol=1e-6)
    assert timestep.reward == reward and first.obs.shape == (3,)


@pytest.mark.parametrize("which", [name for name in gymnax.registered_envs if not name.startswith("MNIST")])
def test_every_environment(which):
    """That a rollout can be traced of it: sizes and types are those that the spec says."""
    env = make(f"gymnax/{which}")
    action = jnp.zeros((), int) if env.spec.discrete else jnp.zeros(env.spec.action_dim)

    def begin_and_step(key):
        before, first = env.reset(key, env.tasks[0])
        after, timestep = env.step(before, action, env.tasks[0])
        return (before, first), (after, timestep)

    (before, first), (after, timestep) = jax.eval_shape(begin_and_step, jax.random.key(0))
    assert first.obs.shape == timestep.obs.shape == (env.spec.obs_dim,)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), before) == jax.tree.map(lambda x: (x.shape, x.dtype), after)


@pytest.mark.parametrize(
    ("name", "physics", "words"),
    [
        ("gymnax/CortPole-v1", "auto", "did you mean 'CartPole-v1'"),
        ("gymnax/CartPole-v1", "mjx", "has no physics"),
        ("gymnax/CartPole-v1/randomized", "auto", "unknown option 'randomized'"),
        ("gymnax/CartPole-v1/tasks=no_such:thing", "auto", "cannot load"),
    ],
)
def test_bad_names(name, physics, words):
    with pytest.raises(ConfigError, match=words):
        make(name, physics=physics)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnax", None)
    with pytest.raises(ConfigError, match=r"needs the package gymnax: pip install 'metarl-jax\[gymnax\]'"):
        make("gymnax/CartPole-v1")
