"""Point navigation in NumPy."""

import jax
import numpy as np
import pytest

from metarl_jax.envs import ENVIRONMENTS, make
from metarl_jax.envs.navigation import NAVIGATIONS
from metarl_jax.errors import ConfigError

CORNERS = np.array([[-2, -2], [2, -2], [-2, 2], [2, 2]])


def l2(x):
    return np.sqrt((np.asarray(x, np.float64) ** 2).sum())


def dense(before, after, goal):
    return -l2(after - goal)


def inside_radius(before, after, goal):
    return 1 - l2(after - goal) if l2(after - goal) <= 0.2 else 0.0


def progress(before, after, goal):
    nearest = CORNERS[np.argmin([l2(after - corner) for corner in CORNERS])]
    if np.abs(after).sum() < 0.5 or (nearest != goal).any():
        return 0.0
    return l2(before - goal) - l2(after - goal)


REWARDS = {
    "point": dense,
    "point-sparse": inside_radius,
    "point-sparse/promp": progress,
}
HORIZONS = {"point/maml": 100, "point/promp": 100, "point-sparse/promp": 100, "point-sparse/varibad": 100}


def sample_tasks(env, count=3000):
    return np.asarray(jax.vmap(env.sample_task)(jax.random.split(jax.random.key(0), count)))


@pytest.mark.parametrize("name", NAVIGATIONS)
def test_spec(name):
    spec = make(name).spec
    limit = 0.2 if name.endswith("promp") else 0.1
    assert (spec.name, spec.obs_dim, spec.action_dim, spec.horizon) == (name, 2, 2, HORIZONS.get(name, 20))
    assert spec.action_low == (-limit, -limit)
    assert spec.action_high == (limit, limit)
    assert make(name, horizon=5).spec.horizon == 5
    assert ENVIRONMENTS[name].module == "navigation"


@pytest.mark.parametrize("name", NAVIGATIONS)
def test_reward_and_termination(name):
    """Positions around the goal and far from it; an episode ends near the goal in MAML's form alone."""
    env = make(name)
    step = jax.jit(env.step)
    rng = np.random.default_rng(0)
    goal = np.asarray(env.sample_task(jax.random.key(1)))
    rewards, endings = [], 0
    for spread in np.repeat([0.005, 0.03, 0.2, 2.0], 40):
        before = (goal + rng.normal(scale=spread, size=2)).astype(np.float32)
        action = (rng.uniform(-1, 1, size=2) * min(spread, env.spec.action_high[0])).astype(np.float32)
        state, timestep = step(before, action, goal)
        after = before + action
        np.testing.assert_array_equal(state, after)
        np.testing.assert_array_equal(timestep.obs, after)
        reward_fn = REWARDS.get(name) or REWARDS[name.partition("/")[0]]
        assert timestep.reward == pytest.approx(reward_fn(before, after, goal), abs=2e-6)
        assert bool(timestep.terminated) == (name == "point/maml" and bool((np.abs(after - goal) < 0.01).all()))
        rewards.append(float(timestep.reward))
        endings += bool(timestep.terminated)
    assert np.std(rewards) > 0
    assert (endings > 0) == (name == "point/maml")
    if name.startswith("point-sparse"):
        assert 0.0 in rewards


def test_progress_counts_only_away_from_the_start():
    env = make("point-sparse/promp")
    goal = np.array([2.0, 2.0], np.float32)
    for position, rewarded in [((0.1, 0.1), False), ((0.2, 0.2), False), ((0.3, 0.3), True), ((0.8, -0.3), False)]:
        _, timestep = env.step(np.array(position, np.float32), np.array([0.05, 0.02], np.float32), goal)
        assert (timestep.reward > 0) == rewarded


@pytest.mark.parametrize("name", NAVIGATIONS)
def test_start(name):
    env = make(name)
    half_side = {"point": 1.0, "point/pearl": 1.0, "point/promp": 0.2, "point-sparse/promp": 0.2}.get(name, 0.0)
    keys = jax.random.split(jax.random.key(0), 3000)
    state, timestep = jax.vmap(env.reset, (0, None))(keys, env.sample_task(keys[0]))
    np.testing.assert_array_equal(state, timestep.obs)
    assert np.abs(state).max() <= half_side
    np.testing.assert_allclose(np.std(state, axis=0), half_side / np.sqrt(3), rtol=0.05)
    assert not timestep.terminated.any()
    assert not timestep.reward.any()


@pytest.mark.parametrize(("name", "half_side"), [("point", 1.0), ("point/maml", 0.5)])
def test_goals_in_a_square(name, half_side):
    goals = sample_tasks(make(name))
    assert np.abs(goals).max() <= half_side
    np.testing.assert_allclose(goals.std(0), half_side / np.sqrt(3), rtol=0.05)


@pytest.mark.parametrize("name", ["point/promp", "point-sparse/promp"])
def test_goals_at_the_corners(name):
    found, counts = np.unique(sample_tasks(make(name)), axis=0, return_counts=True)
    np.testing.assert_array_equal(found, CORNERS[np.lexsort((CORNERS[:, 1], CORNERS[:, 0]))])
    assert counts.min() > 600


@pytest.mark.parametrize("name", ["point-sparse", "point-sparse/varibad"])
def test_goals_on_the_half_circle(name):
    goals = sample_tasks(make(name))
    np.testing.assert_allclose(np.linalg.norm(goals, axis=1), 1.0, rtol=1e-5)
    angles = np.arctan2(goals[:, 1], goals[:, 0])
    assert angles.min() >= 0
    np.testing.assert_allclose(np.quantile(angles, [0.25, 0.5, 0.75]), np.pi * np.array([0.25, 0.5, 0.75]), atol=0.1)


@pytest.mark.parametrize("name", ["point/pearl", "point-sparse/pearl"])
def test_fixed_goals(name):
    train, test = ({tuple(goal) for goal in sample_tasks(make(name, split=split))} for split in ("train", "test"))
    assert (len(train), len(test)) == (80, 20)
    assert not train & test


def test_no_physics_to_choose():
    with pytest.raises(ConfigError, match="no physics"):
        make("point", physics="mjx")
