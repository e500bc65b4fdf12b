"""How the time of a meta-iteration grows: the whole of it, episodes, inner steps and meta-update of second-order MAML-PPO.

The environment is a pure JAX function; everything but the axis in question stays as it is. Columns:
  axis, size           what grows, and to what: `tasks` per meta-iteration, each with as many environments
  iteration_seconds    median
  seconds_per_one      that over the size
  of_first             seconds_per_one over that of the smallest size: below 1, many together are cheaper
  exponent             in the axis's last row: slope of log time over log size between the sizes of FIT, by least squares; 1 is
                       proportional
  compile_seconds      to trace and compile the iteration, cold
  note                 sizes of the rest
"""

import itertools
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ..config import ExperimentConfig
from . import figures, meta_iteration, timing
from .meta_iteration import MetaIteration

ENV, HORIZON = "point", 20  # its own steps per episode
FIT = (8, 256)
REPEATS = 9


class Axis(NamedTuple):
    """Something that can be made larger."""

    configure: Callable[[int], ExperimentConfig]
    sizes: tuple[int, ...]
    more: tuple[int, ...]  # on an accelerator


AXES = {
    "tasks": Axis(
        lambda n: meta_iteration.configure(ENV, "auto", HORIZON, n), (4, 8, 16, 32, 64, 128, 256), (512, 1024)
    ),
}


def measure() -> list[dict[str, Any]]:
    """Rows of each axis."""
    return [row for name, axis in AXES.items() for row in _rows(name, axis)]


def _rows(name: str, axis: Axis) -> list[dict[str, Any]]:
    sizes = axis.sizes if jax.default_backend() == "cpu" else axis.sizes + axis.more
    iterations = {size: MetaIteration(axis.configure(size)) for size in sizes}
    times = timing.in_turn(iterations, REPEATS)
    seconds = {size: statistics.median(times[size]) for size in sizes}
    return [
        {
            "axis": name,
            "size": size,
            "iteration_seconds": seconds[size],
            "seconds_per_one": seconds[size] / size,
            "of_first": seconds[size] / size / (seconds[sizes[0]] / sizes[0]),
            "exponent": fit_exponent(sizes, list(seconds.values())) if size == sizes[-1] else None,
            "compile_seconds": iterations[size].compile_seconds,
            "note": f"{ENV}, {meta_iteration.describe(axis.configure(size))}; median of {REPEATS}",
        }
        for size in sizes
    ]


def fit_exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Slope of log seconds over log size between the sizes of FIT, by least squares."""
    inside = [(size, s) for size, s in zip(sizes, seconds, strict=True) if FIT[0] <= size <= FIT[1]]
    return float(np.polyfit(*np.log(inside).T, deg=1)[0])


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Time over size, a line per axis, beside one that is proportional."""
    with figures.axes(path, f"MAML-PPO on {ENV}") as axes:
        for name, group in itertools.groupby(rows, lambda row: row["axis"]):
            *_, last = points = list(group)
            sizes = np.array([row["size"] for row in points])
            label = f"{name}: exponent {last['exponent']:.2f} from {FIT[0]} to {FIT[1]}"
            (line,) = axes.loglog(sizes, [row["iteration_seconds"] for row in points], "o-", label=label)
            proportional = last["iteration_seconds"] * sizes / sizes[-1]
            axes.loglog(sizes, proportional, "--", color=line.get_color(), alpha=0.4, label="proportional")
        figures.mark(axes, [row["size"] for row in rows])
        axes.set(xlabel="size", ylabel="seconds per meta-iteration")
        axes.legend(frameon=False, fontsize="small")
