"""Meta-World's speed: our environments beside bare C MuJoCo, the package's AsyncVectorEnv and EnvPool.

Columns of a task, `NUM_ENVS` environments, uniformly random actions; steps per second, of environments:
  env_steps_per_second  a jitted rollout: physics, observation, reward, success, info
  of_bare               its share of `bare`: mujoco.rollout of the package's own model, with the forward pass that a fresh
                        observation needs, and neither observation nor reward
  reset_per_step        time of a reset of one environment over the time of a step of one
  of_async, of_envpool  how many times as fast as these
The last row is the whole ML10 in one rollout; its `of_alone` is the share of the mean of its members run alone with as many
environments.
"""

import statistics
from collections.abc import Callable
from typing import Any

import jax
import mujoco
import numpy as np
from mujoco import rollout as mujoco_rollout

from ... import rollout
from ...envs import make
from ...envs.metaworld import suites
from ...envs.metaworld.scenes import SUBSTEPS
from ...envs.physics.mujoco import num_threads
from ...types import MetaEnv, Suite
from .. import random_policy, timing
from . import packages, reference

NUM_ENVS = 64
SUITE, SUITE_ENVS = "ML10", 200
STEPS = 50  # per timed run
REPEATS = 5


def measure() -> list[dict[str, Any]]:
    """One row per training task of ML10, then one of the suite."""
    names = suites.SUITES[SUITE]["train"]
    rows = [_task_row(name) for name in names]
    return [*rows, dict.fromkeys(rows[0]) | _suite_row(names)]


def _task_row(name: str) -> dict[str, Any]:
    step, reset = _jitted(make(f"metaworld/{name}/ml1", physics="mujoco"), NUM_ENVS)
    rates = _rates({"ours": (step, STEPS), "bare": (_bare(name), STEPS), "resets": (reset, 1)}, NUM_ENVS)
    async_rate, envpool_rate = (packages.rate(peer, name, NUM_ENVS, STEPS) for peer in ("AsyncVectorEnv", "EnvPool"))
    return {
        "task": name,
        "env_steps_per_second": rates["ours"],
        "bare": rates["bare"],
        "of_bare": rates["ours"] / rates["bare"],
        "reset_per_step": rates["ours"] / rates["resets"],
        "async": async_rate,
        "of_async": rates["ours"] / async_rate,
        "envpool": envpool_rate,
        "of_envpool": None if envpool_rate is None else rates["ours"] / envpool_rate,
        "of_alone": None,
        "note": f"{NUM_ENVS} environments" + ("" if envpool_rate else "; EnvPool is not installed"),
    }


def rate(name: str, physics: str, num_envs: int) -> float:
    """Environment steps per second of ours, measured in this process: a task of ML10 in a jitted rollout."""
    step, _ = _jitted(make(f"metaworld/{name}/ml1", physics=physics), num_envs)
    return _rates({name: (step, STEPS)}, num_envs)[name]


def _suite_row(names: tuple[str, ...]) -> dict[str, Any]:
    runs = {name: (_jitted(make(f"metaworld/{name}/ml1", physics="mujoco"), SUITE_ENVS)[0], STEPS) for name in names}
    runs[SUITE] = _jitted(make(f"metaworld/{SUITE}", physics="mujoco"), SUITE_ENVS)[0], STEPS
    rates = _rates(runs, SUITE_ENVS)
    return {
        "task": SUITE,
        "env_steps_per_second": rates[SUITE],
        "of_alone": rates[SUITE] / statistics.mean(rates[name] for name in names),
        "note": f"{SUITE_ENVS} environments in one rollout",
    }


def _rates(runs: dict[str, tuple[Callable[[], None], int]], num_envs: int) -> dict[str, float]:
    """Median of environment steps per second of each."""
    seconds = timing.in_turn({name: run for name, (run, _) in runs.items()}, REPEATS)
    return {name: num_envs * steps / statistics.median(seconds[name]) for name, (_, steps) in runs.items()}


def _jitted(env: MetaEnv | Suite, num_envs: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """A rollout of `STEPS` steps and a reset, of `num_envs` tasks with one environment each."""
    act, tasks = random_policy.make_act(env.spec), rollout.sample_tasks(env, jax.random.key(0), num_envs)

    @jax.jit
    def step(state, key):
        _, transitions = rollout.collect(env, act, tasks, state, key, STEPS)
        return transitions.obs_t, transitions.reward_t, transitions.success_t

    reset = jax.jit(lambda key: rollout.start(env, tasks, key, (num_envs, 1)))
    state = reset(jax.random.key(0))
    return (
        lambda: jax.block_until_ready(step(state, jax.random.key(1))),
        lambda: jax.block_until_ready(reset(jax.random.key(1))),
    )


def _bare(name: str) -> Callable[[], None]:
    """The package's model, stepped from its first state in C; the sixth substep stands for the forward pass."""
    theirs = reference.make_reference(name, suites.family_vectors(name, seed=0)[0], show_goal=True)
    theirs.reset()
    model, spec = theirs.model, mujoco.mjtState
    pool = mujoco_rollout.Rollout(nthread=num_threads())
    data = [mujoco.MjData(model) for _ in range(num_threads())]
    start = np.empty(mujoco.mj_stateSize(model, spec.mjSTATE_FULLPHYSICS.value))
    mujoco.mj_getState(model, theirs.data, start, spec.mjSTATE_FULLPHYSICS.value)
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, NUM_ENVS, 4))
    mocap_quat = np.broadcast_to(theirs.data.mocap_quat[0], (NUM_ENVS, 4))

    def run() -> None:
        state = np.tile(start, (NUM_ENVS, 1))
        hand = np.tile(theirs.data.mocap_pos[0], (NUM_ENVS, 1))
        for action in actions:
            hand = np.clip(hand + 0.01 * action[:, :3], theirs.mocap_low, theirs.mocap_high)
            control = np.concatenate([action[:, 3:], -action[:, 3:], hand, mocap_quat], axis=1)
            states, _ = pool.rollout(
                model,
                data,
                state,
                np.repeat(control[:, None], SUBSTEPS + 1, axis=1),
                control_spec=spec.mjSTATE_CTRL | spec.mjSTATE_MOCAP_POS | spec.mjSTATE_MOCAP_QUAT,
            )
            state = states[:, SUBSTEPS - 1]

    return run
