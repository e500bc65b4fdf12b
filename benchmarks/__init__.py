"""Benchmarks by name: `metarl bench NAME`. To add one: a module with `measure() -> list[dict]`, and a line in BENCHMARKS."""

import importlib
import json
import platform
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.table import Table

from ..envs.physics.mujoco import num_threads
from ..errors import lookup


class Entry(NamedTuple):
    """The module that has `measure`, and one line about it."""

    module: str
    summary: str


BENCHMARKS = {
    "physics": Entry(
        "physics", "environment steps per second of each physics backend, beside a bare mujoco.rollout loop"
    ),
    "metaworld": Entry(
        "metaworld.throughput",
        "Meta-World steps per second, beside bare C MuJoCo, the package's AsyncVectorEnv, EnvPool",
    ),
    "metaworld-bridge": Entry(
        "metaworld.bridge_throughput",
        "steps per second of the metaworld package in our worker processes, beside gymnasium's AsyncVectorEnv",
    ),
    "metaworld-memory": Entry("metaworld.memory", "peak memory over rollouts of MT50 in 500 environments"),
    "sequence": Entry("sequence", "time, memory and compilation of every memory, forward and backward over a sequence"),
}


def run(name: str, as_json: bool, command: str) -> None:
    """Measures, and prints a table or one JSON object: `machine`, `command`, `rows`."""
    module = lookup(name, BENCHMARKS, "benchmark").module
    rows = importlib.import_module(f".{module}", __name__).measure()
    if as_json:
        print(json.dumps({"machine": machine(), "command": command, "rows": rows}, indent=2))
        return
    table = Table(title=f"{command}   ({machine()})")
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*(show(value) for value in row.values()))
    Console().print(table)


def machine() -> str:
    """Processor, cores and devices, in words."""
    devices = ", ".join(f"{d.platform} {d.device_kind}" for d in jax.devices())
    return f"{_processor()}, {num_threads()} cores; jax {jax.__version__} on {devices}"


def commit() -> str | None:
    """What was measured, where it is a checkout; "-dirty" if it has changes."""
    git = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def show(value: Any) -> str:
    """A cell of a table."""
    if value is None:
        return "-"
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and abs(value) < 100
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
