"""The corridor shows its side once and asks for it at the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.envs import make
from metarl_jax.envs.recall import Corridor
from metarl_jax.errors import ConfigError


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("turn", [-0.3, 0.8])
@pytest.mark.parametrize("longest", [6, 9])
def test_episode(side, turn, longest):
    env, task = make("recall", horizon=longest), Corridor(jnp.array(side), jnp.array(6))
    state, timestep = env.reset(jax.random.key(0), task)
    seen, rewards = [timestep.obs], []
    for _ in range(6):
        assert not timestep.terminated
        state, timestep = env.step(state, jnp.array([turn]), task)
        seen.append(timestep.obs)
        rewards.append(float(timestep.reward))
    np.testing.assert_array_equal(np.array(seen)[:6], [[side, 0], [0, 0], [0, 0], [0, 0], [0, 0], [0, 1]])
    assert rewards == [0.0] * 5 + [np.sign(side * turn)]
    assert timestep.terminated and float(timestep.info["success"]) == (side * turn > 0)


@pytest.mark.parametrize(
    ("name", "split", "shortest"), [("recall", "train", 7), ("recall/mixed", "test", 7), ("recall/mixed", "train", 1)]
)
def test_lengths(name, split, shortest):
    env = make(name, horizon=7, split=split)
    lengths = np.asarray(jax.vmap(env.sample_task)(jax.random.split(jax.random.key(1), 700)).length)
    assert set(lengths.tolist()) == set(range(shortest, 8))


def test_sides_are_drawn_evenly():
    env = make("recall")
    sides = np.asarray(jax.vmap(env.sample_task)(jax.random.split(jax.random.key(0), 2000)).side)
    assert set(sides.tolist()) == {-1.0, 1.0} and abs(sides.mean()) < 0.1
    assert env.spec.horizon == 200


def test_there_is_no_physics():
    with pytest.raises(ConfigError, match="has no physics"):
        make("recall", physics="mjx")
