"""The registry, and which tasks the families draw."""

import jax
import numpy as np
import pytest

from metarl_jax.envs import ENVIRONMENTS, make
from metarl_jax.envs.locomotion import FAMILIES, LocomotionEnv
from metarl_jax.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("cheetah-vel", 0, 3),
        ("cheetah-vel/pearl", 0, 3),
        ("cheetah-vel/maml", 0, 2),
        ("cheetah-vel/fast", 3, 4),
        ("ant-dir", 0, 2 * np.pi),
        ("ant-dir/promp", 0, 2 * np.pi),
        ("ant-vel", 0, 3),
        ("ant-goal/maml", -3, 3),
        ("humanoid-dir", 0, 2 * np.pi),
    ],
)
def test_uniform_tasks(name, low, high):
    tasks = np.asarray(jax.vmap(make(name, physics="mujoco").sample_task)(jax.random.split(jax.random.key(0), 2000)))
    assert tasks.min() >= low
    assert tasks.max() <= high
    quantiles = np.quantile(tasks, [0.25, 0.5, 0.75], axis=0)
    expected = low + (high - low) * np.array([0.25, 0.5, 0.75])
    tolerance = 0.12 if name == "cheetah-vel/pearl" else 0.04  # a hundred tasks, or two thousand
    np.testing.assert_allclose(quantiles.T - expected, 0.0, atol=tolerance * (high - low))


@pytest.mark.parametrize("name", ["cheetah-dir", "cheetah-dir/pearl", "cheetah-dir/promp", "ant-dir/varibad"])
def test_directions(name):
    tasks = np.asarray(jax.vmap(make(name, physics="mujoco").sample_task)(jax.random.split(jax.random.key(0), 1000)))
    assert set(tasks.tolist()) == {-1.0, 1.0}
    assert abs(tasks.mean()) < 0.15


def test_goals_fill_the_disk():
    goals = np.asarray(
        jax.vmap(make("ant-goal", physics="mujoco").sample_task)(jax.random.split(jax.random.key(0), 4000))
    )
    radius = np.linalg.norm(goals, axis=1)
    assert radius.max() <= 3.0
    np.testing.assert_allclose(np.quantile((radius / 3) ** 2, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)
    np.testing.assert_allclose(goals.mean(0), 0.0, atol=0.1)


@pytest.mark.parametrize("name", [n for n in FAMILIES if FAMILIES[n].num_tasks])
def test_fixed_task_sets(name):
    sizes = {"cheetah-vel": (100, 30), "ant-goal": (150, 30), "humanoid-dir": (100, 30)}
    assert FAMILIES[name].num_tasks == sizes.get(name.partition("/")[0], (40, 10))
    keys = jax.random.split(jax.random.key(5), 3000)
    seen = []
    for split, size in zip(("train", "test"), FAMILIES[name].num_tasks, strict=True):
        tasks = jax.vmap(make(name, physics="mujoco", split=split).sample_task)(keys)
        rows = np.concatenate([np.asarray(x).reshape(len(keys), -1) for x in jax.tree.leaves(tasks)], axis=1)
        seen.append({row.tobytes() for row in rows})
        assert len(seen[-1]) == size
    assert not seen[0] & seen[1]


def test_make():
    assert make("cheetah-dir", horizon=7, physics="mujoco").spec.horizon == 7
    with pytest.raises(ConfigError, match="did you mean 'cheetah-dir'"):
        make("cheetah-dri")
    with pytest.raises(ConfigError, match="unknown split 'tset': did you mean 'test'"):
        make("point/pearl", split="tset")
    with pytest.raises(ConfigError, match="horizon"):
        make("cheetah-dir", horizon=0)
    assert isinstance(make("hopper-v5"), LocomotionEnv)


def test_every_environment_has_an_entry():
    assert {name for name, entry in ENVIRONMENTS.items() if entry.module == "locomotion"} == set(FAMILIES)
    assert all(entry.summary for entry in ENVIRONMENTS.values())
