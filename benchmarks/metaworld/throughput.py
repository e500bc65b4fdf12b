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

import importlib.util
import statistics
import subprocess
import sys
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
from . import reference

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
    peers = {"async": _in_subprocess(_ASYNC, name), "envpool": None}
    if importlib.util.find_spec("envpool") is not None:
        peers["envpool"] = _in_subprocess(_ENVPOOL, "".join(part.capitalize() for part in name[:-3].split("-")) + "-v3")
    return {
        "task": name,
        "env_steps_per_second": rates["ours"],
        "bare": rates["bare"],
        "of_bare": rates["ours"] / rates["bare"],
        "reset_per_step": rates["ours"] / rates["resets"],
        "async": peers["async"],
        "of_async": rates["ours"] / peers["async"],
        "envpool": peers["envpool"],
        "of_envpool": None if peers["envpool"] is None else rates["ours"] / peers["envpool"],
        "of_alone": None,
        "note": f"{NUM_ENVS} environments" + ("" if peers["envpool"] else "; EnvPool is not installed"),
    }


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


def _in_subprocess(program: str, name: str) -> float:
    """Environment steps per second that a program of its own prints: no threads of ours, no share of our memory."""
    command = [sys.executable, "-c", program, name, str(NUM_ENVS), str(STEPS), str(num_threads())]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


_TIMED = """
import statistics, time
def timed(step, num_envs, steps):
    rates = []
    for _ in range(4):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        rates.append(num_envs * steps / (time.perf_counter() - start))
    print(statistics.median(rates[1:]))
"""
_ASYNC = (
    _TIMED
    + """
import sys, warnings
import gymnasium, metaworld
warnings.simplefilter("ignore")
name, num_envs, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
benchmark = metaworld.ML1(name, seed=0)
def make():
    env = benchmark.train_classes[name]()
    env.set_task(benchmark.train_tasks[0])
    return env
if __name__ == "__main__":
    envs = gymnasium.vector.AsyncVectorEnv([make] * num_envs)
    envs.reset()
    timed(lambda: envs.step(envs.action_space.sample()), num_envs, steps)
    envs.close()
"""
)
_ENVPOOL = (
    _TIMED
    + """
import sys
import envpool, numpy as np
name, num_envs, steps, threads = sys.argv[1], *map(int, sys.argv[2:])
envs = envpool.make(f"MetaWorld/{name}", env_type="gymnasium", num_envs=num_envs, num_threads=threads)
envs.reset()
rng = np.random.default_rng(0)
timed(lambda: envs.step(rng.uniform(-1, 1, (num_envs, 4))), num_envs, steps)
"""
)
