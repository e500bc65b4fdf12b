"""The named numbers of tasks: what training draws lies in their ranges and fills them, and a task that is set has the number."""

import jax
import numpy as np
import pytest

from metarl_jax.envs import make
from metarl_jax.envs.locomotion import FAMILIES
from metarl_jax.envs.metaworld import FAMILIES as METAWORLD
from metarl_jax.envs.metaworld.env import parameters
from metarl_jax.envs.metaworld.suites import sample_vector
from metarl_jax.envs.navigation import NAVIGATIONS

DRAWN = {
    **{name: (f.parameters, f.sample_task) for name, f in FAMILIES.items() if f.parameters},
    **{name: (n.parameters, n.sample_goal) for name, n in NAVIGATIONS.items() if n.parameters},
    **{name: (parameters(METAWORLD[name]), sample_vector(METAWORLD[name])) for name in ("reach-v3", "drawer-open-v3")},
}


@pytest.mark.parametrize("name", DRAWN)
def test_ranges(name):
    """A square has goals farther away than half its side, which are not in the range of the radius: it has them on two sides."""
    found, sample = DRAWN[name]
    tasks = jax.vmap(sample)(jax.random.split(jax.random.key(0), 2000))
    for label, parameter in found.items():
        low, high = parameter.trained
        if name.endswith("rand-params"):  # a mean of many multipliers does not come near to the bounds of one
            array = next(key for key in tasks if label in key)
            seen = np.log(np.asarray(tasks[array])) / np.log(high)
        elif label == "radius" and "x" in found:
            seen = np.abs(np.asarray(tasks)).max(axis=1) / high
        else:
            seen = np.asarray(jax.vmap(parameter.of)(tasks))
            np.testing.assert_allclose(seen, np.clip(seen, low, high), atol=1e-5)
            np.testing.assert_allclose([seen.min(), seen.max()], [low, high], atol=0.03 * (high - low) + 1e-6)
            continue
        assert 0.98 < seen.max() <= 1.0 + 1e-5


@pytest.mark.parametrize("name", DRAWN)
def test_a_task_has_what_it_is_set_to(name):
    """Inside and outside of the range; what else there is stays."""
    found, sample = DRAWN[name]
    task = sample(jax.random.key(3))
    for label, parameter in found.items():
        low, high = parameter.trained
        for value in np.clip([low - 0.3, (low + high) / 2, high + 0.3], *parameter.limits):
            if label == "angle" and abs(value) == np.pi:  # which is -pi as well
                continue
            moved = parameter.at(task, value)
            assert jax.tree.map(np.shape, moved) == jax.tree.map(np.shape, task)
            np.testing.assert_allclose(parameter.of(moved), value, atol=2e-6, rtol=2e-6)
            back = parameter.at(moved, parameter.of(task))
            if not name.endswith("rand-params") and not (label == "radius" and value == 0.0):
                np.testing.assert_allclose(back, task, atol=2e-6)


def test_goals_on_the_plane():
    task = np.array([3.0, 4.0])
    goals = FAMILIES["ant-goal"].parameters
    np.testing.assert_allclose(goals["radius"].at(task, 10.0), [6.0, 8.0], rtol=1e-6)
    np.testing.assert_allclose(goals["angle"].at(task, np.pi / 2), [0.0, 5.0], atol=1e-6)
    np.testing.assert_allclose(goals["radius"].at(np.zeros(2), 2.0), [2.0, 0.0], atol=1e-6)
    np.testing.assert_array_equal(make("point").parameters["y"].at(jax.numpy.asarray(task), 0.5), [3.0, 0.5])


def test_a_mass_is_that_of_the_model():
    env = make("hopper-rand-params", physics="mujoco")
    task = env.parameters["mass"].at(env.sample_task(jax.random.key(0)), 2.0)
    params = FAMILIES["hopper-rand-params"].model_params(env.physics.model, task)
    np.testing.assert_allclose(params["body_mass"], 2.0 * env.physics.model.body_mass, rtol=1e-6)
    assert not np.allclose(params["dof_damping"], 2.0 * env.physics.model.dof_damping)


def test_a_goal_is_that_of_the_world():
    env = make("metaworld/reach-v3", physics="mujoco")
    task = env.parameters["goal-x"].at(env.sample_task(jax.random.key(0)), 0.25)
    state, _ = env.reset(jax.random.key(1), task)
    np.testing.assert_allclose(env.goal(state), [0.25, *np.asarray(task)[4:]], rtol=1e-6)
    assert list(env.parameters) == ["goal-x", "goal-y", "goal-z", "object-x", "object-y"]


def test_what_has_none():
    for name in ("cheetah-dir", "cheetah-dir/one-hot", "point/promp", "ant-dir/varibad"):
        assert not make(name).parameters
