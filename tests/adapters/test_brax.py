"""brax's environments under our rollout, against the installed package."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.envs import make
from metarl_jax.envs.adapters import parse
from metarl_jax.envs.adapters.brax import BraxEnv
from metarl_jax.errors import ConfigError

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:brax"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jaxopt"),
    pytest.mark.filterwarnings("ignore:Brax System:UserWarning"),
]
brax_envs = pytest.importorskip("brax.envs", exc_type=ImportError)

HORIZON = 3


def heavier(system, keys):
    """A domain randomiser as brax has it: the pole's mass, times U[1, 4]."""
    factors = jax.vmap(lambda key: jax.random.uniform(key, minval=1.0, maxval=4.0))(keys)
    mass = jax.vmap(lambda factor: system.link.inertia.mass.at[1].multiply(factor))(factors)
    axes = jax.tree.map(lambda _: None, system).tree_replace({"link.inertia.mass": 0})
    return system.tree_replace({"link.inertia.mass": mass}), axes


@pytest.fixture(scope="module")
def pendulum():
    """The raw environment, on the pipeline that compiles fastest of those in which masses count."""
    return brax_envs.get_environment("inverted_pendulum", backend="generalized")


@pytest.fixture(scope="module")
def family(pendulum):
    return BraxEnv("heavier", pendulum, HORIZON, heavier)


@pytest.fixture(scope="module")
def run(family):
    """Two tasks, four episodes in a row of one world of each: the actions, and what the rollout says."""
    tasks = rollout.sample_tasks(family, jax.random.key(0), 2)
    actions = jax.random.uniform(jax.random.key(1), (4 * HORIZON, 2, 1, 1), minval=-0.2, maxval=0.2)

    def act(obs, history, key):
        count = history.carry
        return count + 1, rollout.ActionSample(actions[count[0, 0]], actions[count[0, 0]], (), obs[..., 0])

    @jax.jit
    def go(tasks, key):
        history = rollout.no_history(family.spec, (2, 1), jnp.zeros((2, 1), int))
        state = rollout.start(family, tasks, key, (2, 1), history)
        return rollout.collect(family, act, tasks, state, key, 4 * HORIZON)[1]

    return tasks, actions[:, :, 0], jax.tree.map(lambda x: np.asarray(x[:, 0]), go(tasks, jax.random.key(2)))


def test_spec_and_tasks(family):
    assert (family.spec.obs_dim, family.spec.action_dim, family.spec.horizon) == (4, 1, HORIZON)
    assert (family.spec.action_low, family.spec.action_high) == ((-1.0,), (1.0,)) and family.tasks is None
    task = family.sample_task(jax.random.key(0))
    assert list(task) == [".link.inertia.mass"] and task[".link.inertia.mass"].shape == (2,)


def test_episodes_are_the_package_episodes(run):
    """Its own step in a world with the task's mass, which matters: every observation up to the final one."""
    tasks, actions, t = run
    np.testing.assert_array_equal(t.last_t, np.arange(1, 4 * HORIZON + 1) % HORIZON == np.zeros((2, 1)))

    @jax.jit
    def play(task, key, actions):
        """The package's environment with a system of its own, unbatched."""
        mass = task[".link.inertia.mass"]
        env = brax_envs.get_environment("inverted_pendulum", backend="generalized")
        env.sys = env.sys.tree_replace({"link.inertia.mass": mass})
        first = env.reset(key)

        def step(state, action):
            state = env.step(state, action)
            return state, (state.obs, state.reward)

        return first.obs, jax.lax.scan(step, first, actions)[1]

    keys = jax.random.split(jax.random.key(2), (2, 1))
    played = [play(jax.tree.map(lambda x, n=n: x[n], tasks), keys[1, 0], actions[:HORIZON, 1])[1][0] for n in range(2)]
    assert np.abs(played[0] - played[1]).max() > 1e-4  # from the same state, by the same actions
    for n in range(2):
        task = jax.tree.map(lambda x, n=n: x[n], tasks)
        first, (obs, reward) = play(task, keys[n, 0], actions[:HORIZON, n])
        np.testing.assert_allclose(t.obs_tm1[n, 0], first, atol=1e-6)
        np.testing.assert_allclose(t.obs_t[n, :HORIZON], obs, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(t.reward_t[n, :HORIZON], reward)
    assert np.abs(t.obs_t[:, HORIZON - 1] - t.obs_tm1[:, HORIZON]).max() > 1e-3  # final, not the next episode's first


def test_resets_differ(run):
    """Between episodes of a world and between worlds."""
    firsts = run[2].obs_tm1[:, ::HORIZON].reshape(-1, 4)
    assert len(np.unique(firsts, axis=0)) == 8


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda model: model, r"'bad': what draws its tasks must be a function \(model, keys \[n\]\) -> .*positional"),
        (lambda model, keys: model, "must be a function"),
        (lambda model, keys: (model, None), "must be a function .* that changes something"),
    ],
)
def test_what_cannot_draw_tasks(pendulum, draw, words):
    with pytest.raises(ConfigError, match=words):
        BraxEnv("bad", pendulum, HORIZON, draw)


class Seen:
    """What brax's interface may answer, and no more."""

    action_size = 2

    def __init__(self, obs):
        self._obs = obs

    def reset(self, key):
        zero = jnp.zeros(())
        return brax_envs.State(None, self._obs, zero, zero, {"x": zero}, {})

    def step(self, state, action):
        state.metrics["x"] = jnp.sum(action)
        return state.replace(reward=1.0, done=1.0)


def test_of_several_observations_the_state():
    env = BraxEnv("seen", Seen({"state": jnp.ones(3), "privileged_state": jnp.zeros(5)}), 10)
    state, first = env.reset(jax.random.key(0), env.tasks[0])
    assert env.spec.obs_dim == 3 and first.obs.sum() == 3
    _, timestep = env.step(state, jnp.ones(2), env.tasks[0])
    assert timestep.terminated and timestep.reward.dtype == first.reward.dtype and timestep.info["x"] == 2.0
    assert state.metrics["x"] == 0.0  # the state before is what it was


@pytest.mark.parametrize(
    ("obs", "words"),
    [
        ({"pixels": jnp.zeros((8, 8, 3))}, "the observations 'pixels', and none that is called 'state'"),
        (jnp.zeros((8, 8, 3)), r"observations of shape \(8, 8, 3\)"),
    ],
)
def test_observations_that_are_no_vector(obs, words):
    with pytest.raises(ConfigError, match=words):
        BraxEnv("seen", Seen(obs), 10)


def test_a_name_says_who_draws_the_tasks():
    assert parse("brax/ant/tasks=math:sin") == ("ant", math.sin, set())
    assert parse("brax/ant/b", flags=("a", "b")) == ("ant", None, {"b"})


@pytest.mark.parametrize(
    ("name", "physics", "words"),
    [
        ("brax/aunt", "auto", "unknown environment of brax 'aunt': did you mean 'ant'"),
        ("brax/ant", "warp", "brax's own backends, not on 'warp': take auto, generalized"),
        ("brax/fast/nope", "auto", "unknown option 'nope' .*: choose from tasks=MODULE:FUNCTION"),
        ("brax/fast/tasks=", "auto", "is no place"),
        ("brax/fast/tasks=no_such:thing", "auto", "cannot load"),
        ("brax/fast/tasks=math:sin", "auto", "no physics whose parameters"),
    ],
)
def test_bad_names(name, physics, words):
    with pytest.raises(ConfigError, match=words):
        make(name, physics=physics)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "brax.envs", None)
    with pytest.raises(ConfigError, match=r"needs the package brax: pip install 'metarl-jax\[brax\]'"):
        make("brax/ant")
