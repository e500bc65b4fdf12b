"""Two of Meta-World's scenes on Warp, beside the package and C MuJoCo; benchmarks/results/metaworld.md has all 36."""

import functools
import importlib.util

import pytest

from metarl_jax.benchmarks.metaworld import reference, warp_drift
from metarl_jax.envs import make
from metarl_jax.envs.metaworld import suites

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("warp") is None, reason="warp is not installed"),
    pytest.mark.filterwarnings("ignore:Mesh:UserWarning", "ignore:MULTICCD:UserWarning"),  # MJX on the scenes' shapes
]

SCENES = ("reach-v3", "door-close-v3")
NUM_STEPS = 20


@functools.cache
def warp_env(name):
    return make(f"metaworld/{name}/mt1", physics="warp")


@functools.cache
def expert_episode(name):
    vector = suites.family_vectors(name, seed=0)[0]
    theirs = reference.make_reference(name, vector, show_goal=True)
    return vector, reference.expert_episode(theirs, name, NUM_STEPS, noise=0.3, start="rounded")


@pytest.mark.parametrize("name", SCENES)
def test_steps_from_the_package_states(name):
    errors = reference.step_errors(warp_env(name), *expert_episode(name))
    assert max(error.max() for error in errors.values()) < 1e-3, errors


@pytest.mark.parametrize("name", SCENES)
def test_drift_from_c_without_margins(name):
    vector, episode = expert_episode(name)
    args = vector[None], episode.action[None]
    runs = [reference.free_run(env, *args) for env in (warp_env(name), warp_drift.c_without_margins(name))]
    assert reference.apart(*runs).max() < 1e-3
    assert reference.apart(runs[0][:, 0], runs[0][:, -1]).min() > 0.01  # it moves
