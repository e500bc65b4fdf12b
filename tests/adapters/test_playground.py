"""MuJoCo Playground's environments under our rollout, against the installed package."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.envs import make
from metarl_jax.envs.adapters.brax import BraxEnv
from metarl_jax.errors import ConfigError

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of brax, which it imports
    pytest.mark.filterwarnings("ignore:Brax System:UserWarning"),
]
registry = pytest.importorskip("mujoco_playground", exc_type=ImportError).registry

HORIZON = 3


def heavier(model, keys):
    """A domain randomiser as Playground has it: the pole's mass, times U[1, 10]."""
    factors = jax.vmap(lambda key: jax.random.uniform(key, minval=1.0, maxval=10.0))(keys)
    mass = jax.vmap(lambda factor: model.body_mass.at[2].multiply(factor))(factors)
    axes = jax.tree.map(lambda _: None, model).tree_replace({"body_mass": 0})
    return model.tree_replace({"body_mass": mass}), axes


@pytest.mark.slow
def test_episodes_are_the_package_episodes():
    """Its own step in a world with the task's mass, which matters: every observation up to the final one; resets differ."""
    env = make("playground/CartpoleBalance", horizon=HORIZON)
    assert (env.spec.obs_dim, env.spec.action_dim, len(env.tasks)) == (5, 1, 1)
    theirs = registry.load("CartpoleBalance", config_overrides={"impl": "jax"})
    family = BraxEnv("heavier", theirs, HORIZON, heavier, model="_mjx_model")
    tasks = rollout.sample_tasks(family, jax.random.key(0), 2)
    actions = jax.random.uniform(jax.random.key(1), (2 * HORIZON, 2, 1, 1), minval=-1.0, maxval=1.0)

    def act(obs, history, key):
        action = actions[history.carry[0, 0]]
        return history.carry + 1, rollout.ActionSample(action, action, (), obs[..., 0])

    @jax.jit
    def go(tasks, key):
        history = rollout.no_history(family.spec, (2, 1), jnp.zeros((2, 1), int))
        state = rollout.start(family, tasks, key, (2, 1), history)
        return rollout.collect(family, act, tasks, state, key, 2 * HORIZON)[1]

    t = jax.tree.map(lambda x: np.asarray(x[:, 0]), go(tasks, jax.random.key(2)))
    np.testing.assert_array_equal(t.last_t, [[False, False, True] * 2] * 2)
    assert len(np.unique(t.obs_tm1[:, ::HORIZON].reshape(-1, 5), axis=0)) == 4

    @jax.jit
    def play(mass, key, actions):
        """The package's environment with a model of its own, unbatched."""
        env = registry.load("CartpoleBalance", config_overrides={"impl": "jax"})
        env._mjx_model = env.mjx_model.replace(body_mass=mass)

        def step(state, action):
            state = env.step(state, action)
            return state, (state.obs, state.reward)

        return jax.lax.scan(step, env.reset(key), actions)[1]

    keys, masses = jax.random.split(jax.random.key(2), (2, 1)), tasks[".body_mass"]
    for n in range(2):
        obs, reward = play(masses[n], keys[n, 0], actions[:HORIZON, n, 0])
        np.testing.assert_allclose(t.obs_t[n, :HORIZON], obs, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(t.reward_t[n, :HORIZON], reward, rtol=1e-4, atol=1e-4)
    other, _ = play(masses[0], keys[1, 0], actions[:HORIZON, 1, 0])
    assert np.abs(other - obs).max() > 1e-3  # from the same state, by the same actions


@pytest.mark.parametrize(
    ("name", "physics", "words"),
    [
        ("playground/CartpoleBalence", "auto", "did you mean 'CartpoleBalance"),
        ("playground/CartpoleBalance", "mujoco", "runs on MJX"),
        ("playground/CartpoleBalance/randomised", "auto", "choose from tasks=MODULE:FUNCTION, randomized"),
        ("playground/CartpoleBalance/randomized", "auto", "no domain randomiser for 'CartpoleBalance'"),
    ],
)
def test_bad_names(name, physics, words):
    with pytest.raises(ConfigError, match=words):
        make(name, physics=physics)


def test_models_that_cannot_be_fetched(monkeypatch):
    def fail(*args):
        raise subprocess.CalledProcessError(128, ["git", "clone"])

    monkeypatch.setattr(registry, "load", fail)
    with pytest.raises(ConfigError, match="needs models of MuJoCo Menagerie, which Playground clones"):
        make("playground/Go1JoystickFlatTerrain/randomized")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco_playground", None)
    with pytest.raises(
        ConfigError, match=r"needs the package mujoco_playground: pip install 'metarl-jax\[playground\]'"
    ):
        make("playground/CartpoleBalance")
