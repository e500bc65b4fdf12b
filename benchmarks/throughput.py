"""How fast MAML-PPO meta-trains: environments x physics backends x tasks x devices, each in a process of its own.

Columns:
  env, physics            what is stepped, by which backend ("jax": the environment is a pure function, without a simulator)
  tasks                   per meta-iteration
  devices                 over which they are split: one, and where there are more, all
  env_steps_per_second    environment steps of a meta-iteration over its time; learning is included
  iterations_per_second   meta-iterations: episodes, inner steps, episodes, the meta-update
  slowest, fastest        the same of single iterations
  peak_mib                the most memory, MiB: on an accelerator what JAX has allocated there, else that of the process, the
                          compiler and all libraries included
  compile_seconds         to trace and compile the iteration, cold
  note                    sizes; or why this is skipped
"""

import itertools
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import jax

from . import figures, isolated, meta_iteration, timing
from .meta_iteration import MetaIteration

# By environment and platform: the physics that are measured; "auto" where there is no simulator.
PHYSICS = {
    "point": {"cpu": ["auto"], "gpu": ["auto"], "tpu": ["auto"]},
    "cheetah-dir": {"cpu": ["mujoco"], "gpu": ["warp", "mjx"], "tpu": ["mjx"]},
    "metaworld/reach-v3/ml1": {"cpu": ["mujoco"], "gpu": ["warp"], "tpu": ["mjx"]},
}
TASKS = {"cpu": (4, 16, 64), "gpu": (16, 64, 256, 1024), "tpu": (16, 64, 256, 1024)}
HORIZON = 100  # steps per episode
REPEATS = 5


class Speed(NamedTuple):
    """What is measured of a configuration; None where it cannot run."""

    env_steps_per_second: float | None = None
    iterations_per_second: float | None = None
    slowest: float | None = None
    fastest: float | None = None
    peak_mib: float | None = None
    compile_seconds: float | None = None


def measure() -> list[dict[str, Any]]:
    """One row per configuration."""
    platform, there = isolated.call(jax.default_backend), isolated.call(jax.local_device_count)
    return [
        _row(env, physics, num_tasks, devices)
        for env in PHYSICS
        for physics, devices, num_tasks in itertools.product(
            PHYSICS[env][platform], sorted({1, there}), TASKS[platform]
        )
    ]


def _row(env: str, physics: str, num_tasks: int, devices: int) -> dict[str, Any]:
    sizes = meta_iteration.describe(meta_iteration.configure(env, physics, HORIZON, num_tasks))
    note = f"{sizes}; median of {REPEATS}"
    try:
        speed = isolated.call(speed_of, env, physics, HORIZON, num_tasks, devices, REPEATS)
    except isolated.Failed as failure:
        speed, note = Speed()._asdict(), f"skipped: {failure}"
    physics = "jax" if physics == "auto" else physics
    return {"env": env, "physics": physics, "tasks": num_tasks, "devices": devices, **speed, "note": note}


def speed_of(
    env: str, physics: str, horizon: int, num_tasks: int, devices: int, repeats: int
) -> dict[str, float | None]:
    """A `Speed`, measured in this process."""
    iteration = MetaIteration(meta_iteration.configure(env, physics, horizon, num_tasks), devices=devices)
    seconds = timing.in_turn({env: iteration}, repeats)[env]
    on_device = jax.local_devices()[0].memory_stats()
    return Speed(
        env_steps_per_second=iteration.env_steps / statistics.median(seconds),
        iterations_per_second=1 / statistics.median(seconds),
        slowest=1 / max(seconds),
        fastest=1 / min(seconds),
        peak_mib=on_device["peak_bytes_in_use"] / 2**20 if on_device else isolated.peak_mib(),
        compile_seconds=iteration.compile_seconds,
    )._asdict()


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Environment steps per second over tasks, a line per environment and backend."""
    measured = [row for row in rows if row["env_steps_per_second"] is not None]
    with figures.axes(path, "MAML-PPO, learning included") as axes:
        for of, group in itertools.groupby(measured, lambda row: (row["env"], row["physics"], row["devices"])):
            points = [(row["tasks"], row["env_steps_per_second"]) for row in group]
            axes.loglog(*zip(*points, strict=True), "o-", label="{}, {}, devices: {}".format(*of))
        figures.mark(axes, [row["tasks"] for row in rows])
        axes.set(xlabel="tasks per meta-iteration", ylabel="environment steps / s")
        if measured:
            axes.legend(frameon=False, fontsize="small")
