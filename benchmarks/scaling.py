"""How the time of a meta-iteration grows: the whole of it, episodes, inner steps and meta-update of second-order MAML-PPO.

The environment is a pure JAX function; everything but the axis in question stays as it is. Columns:
  axis, size           what grows, and to what: `tasks` per meta-iteration, each with 2 environments, and `large tasks`, each with
                       10; `seeds`, runs in one program, as `metarl train --seeds` splits them over devices; `devices` over
                       which the tasks of one run are split, on CPU its cores
  iteration_seconds    median
  seconds_per_one      that over the size
  of_first             seconds_per_one over that of the smallest size: below 1, many together are cheaper
  exponent             in the axis's last row: slope of log time over log size between the sizes of `Axis.fit`, by least squares;
                       1 is proportional
  compile_seconds      to trace and compile the iteration, cold
  note                 sizes of the rest
"""

import itertools
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import sharding
from ..config import ExperimentConfig
from ..envs.physics.mujoco import num_threads
from . import figures, meta_iteration, timing
from .meta_iteration import MetaIteration

ENV, HORIZON = "point", 20  # its own steps per episode
ENVS_PER_TASK, LARGE_ENVS_PER_TASK = 2, 10
NUM_TASKS = 32  # on the axis of devices
SEED_TASKS = 4  # on the axis of seeds: they are worth a common program where one run alone leaves the machine idle
TASKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
REPEATS = 9


class Axis(NamedTuple):
    """Something that can be made larger."""

    make: Callable[[int], MetaIteration]
    sizes: tuple[int, ...]
    fit: tuple[int, int]  # the exponent is fitted to sizes from here to here


def _configure(num_tasks: int, envs_per_task: int = ENVS_PER_TASK) -> ExperimentConfig:
    return meta_iteration.configure(ENV, "auto", HORIZON, num_tasks, envs_per_task)


def _of_seeds(num_seeds: int) -> MetaIteration:
    devices = sharding.most_even(num_seeds, jax.local_device_count())
    return MetaIteration(_configure(SEED_TASKS), num_seeds, devices)


AXES = {
    "tasks": Axis(lambda n: MetaIteration(_configure(n)), TASKS, fit=(8, 256)),
    "large tasks": Axis(lambda n: MetaIteration(_configure(n, LARGE_ENVS_PER_TASK)), TASKS, fit=(8, 256)),
    "seeds": Axis(_of_seeds, (1, 2, 4, 8, 16), fit=(1, 16)),
    "devices": Axis(lambda n: MetaIteration(_configure(NUM_TASKS), devices=n), (1, 2, 4, 8), fit=(1, 8)),
}


def measure() -> list[dict[str, Any]]:
    """Rows of each axis; there are as many devices as there are."""
    sharding.use_parts_of_cpu(num_threads())
    there = jax.local_device_count()
    axes = AXES | {"devices": AXES["devices"]._replace(sizes=tuple(n for n in AXES["devices"].sizes if n <= there))}
    return [row for name, axis in axes.items() if len(axis.sizes) > 1 for row in _rows(name, axis)]


def _rows(name: str, axis: Axis) -> list[dict[str, Any]]:
    iterations = {size: axis.make(size) for size in axis.sizes}
    times = timing.in_turn(iterations, REPEATS)
    seconds = {size: statistics.median(times[size]) for size in axis.sizes}
    first, *_, last = axis.sizes
    return [
        {
            "axis": name,
            "size": size,
            "iteration_seconds": seconds[size],
            "seconds_per_one": seconds[size] / size,
            "of_first": seconds[size] / size / (seconds[first] / first),
            "exponent": fit_exponent(seconds, axis.fit) if size == last else None,
            "compile_seconds": iteration.compile_seconds,
            "note": f"{ENV}, tasks: {iteration.config.algorithm.num_tasks}, "
            f"{meta_iteration.describe(iteration.config)}; median of {REPEATS}",
        }
        for size, iteration in iterations.items()
    ]


def fit_exponent(seconds: Mapping[int, float], fit: tuple[int, int]) -> float:
    """Slope of log seconds over log size, by least squares, from the smallest size of `fit` to the greatest."""
    inside = [(size, s) for size, s in seconds.items() if fit[0] <= size <= fit[1]]
    return float(np.polyfit(*np.log(inside).T, deg=1)[0])


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Time over size, a line per axis, beside one that is proportional."""
    with figures.axes(path, f"MAML-PPO on {ENV}") as axes:
        for name, group in itertools.groupby(rows, lambda row: row["axis"]):
            *_, last = points = list(group)
            sizes = np.array([row["size"] for row in points])
            low, high = AXES[name].fit
            label = f"{name}: exponent {last['exponent']:.2f} from {low} to {min(high, sizes[-1])}"
            (line,) = axes.loglog(sizes, [row["iteration_seconds"] for row in points], "o-", label=label)
            proportional = last["iteration_seconds"] * sizes / sizes[-1]
            axes.loglog(sizes, proportional, "--", color=line.get_color(), alpha=0.4, label="proportional")
        figures.mark(axes, [row["size"] for row in rows])
        axes.set(xlabel="size", ylabel="seconds per meta-iteration")
        axes.legend(frameon=False, fontsize="small")
