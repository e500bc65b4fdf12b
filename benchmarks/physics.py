"""Throughput of the physics backends on HalfCheetah: jitted rollouts of a random policy, beside bare `mujoco.rollout`."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import rollout

from ..envs import make
from ..envs.locomotion.bodies import HALF_CHEETAH
from ..envs.physics.mujoco import num_threads
from ..errors import ConfigError
from . import random_policy, timing

NUM_ENVS = 256
STEPS = {"bare mujoco.rollout": 100, "mujoco": 100, "mjx": 10, "warp": 10}  # per timed run; the slow ones do fewer
REPEATS = 7


def measure() -> list[dict[str, Any]]:
    """One row per backend."""
    runs: dict[str, Callable[[], None]] = {"bare mujoco.rollout": _bare(STEPS["bare mujoco.rollout"])}
    compile_seconds: dict[str, float | None] = {"bare mujoco.rollout": None}
    missing = {}
    for backend in ("mujoco", "mjx", "warp"):
        try:
            runs[backend] = _jitted(backend, STEPS[backend])
        except ConfigError as error:
            missing[backend] = str(error)
            continue
        start = time.perf_counter()
        runs[backend]()
        compile_seconds[backend] = time.perf_counter() - start
    seconds = timing.in_turn(runs, REPEATS)
    rates = {name: [NUM_ENVS * STEPS[name] / s for s in values] for name, values in seconds.items()}
    bare = statistics.median(rates["bare mujoco.rollout"])
    rows = [
        {
            "backend": name,
            "env_steps_per_second": statistics.median(values),
            "slowest": min(values),
            "fastest": max(values),
            "of_bare": statistics.median(values) / bare,
            "compile_seconds": compile_seconds[name],
            "note": f"{NUM_ENVS} environments, {STEPS[name]} steps, median of {REPEATS}",
        }
        for name, values in rates.items()
    ]
    absent = dict.fromkeys(rows[0])
    return rows + [absent | {"backend": name, "note": f"skipped: {why}"} for name, why in missing.items()]


def _jitted(backend: str, steps: int) -> Callable[[], None]:
    env = make("cheetah-dir", physics=backend)
    tasks = jnp.ones(NUM_ENVS)

    @jax.jit
    def run(state, key):
        def step(state, key):
            state, timestep = jax.vmap(env.step)(state, random_policy.draw(env.spec, key, (NUM_ENVS,)), tasks)
            return state, timestep.reward

        return jax.lax.scan(step, state, jax.random.split(key, steps))[1]

    state, _ = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), NUM_ENVS), tasks)
    return lambda: jax.block_until_ready(run(state, jax.random.key(1)))


def _bare(steps: int) -> Callable[[], None]:
    """What the backend is built on, with nothing around it: no jit, no policy, no observation, no reward."""
    model = HALF_CHEETAH.load()
    data = [mujoco.MjData(model) for _ in range(num_threads())]
    pool = rollout.Rollout(nthread=num_threads())
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    rng = np.random.default_rng(0)
    start = np.zeros((NUM_ENVS, size))
    start[:, 1:] = rng.uniform(-0.1, 0.1, (NUM_ENVS, size - 1))
    controls = rng.uniform(-1.0, 1.0, (steps, NUM_ENVS, 1, model.nu)).repeat(HALF_CHEETAH.substeps, axis=2)

    def run() -> None:
        state = start
        for control in controls:
            state = pool.rollout(model, data, state, control)[0][:, -1]

    return run
