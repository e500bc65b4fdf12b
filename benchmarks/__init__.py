"""Benchmarks by name: `metarl bench NAME`.

To add one: a module with `measure() -> list[dict]`, and `draw(rows, path)` where its rows make a figure; a line in BENCHMARKS.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError, lookup
from .report import Report, commit, machine


class Entry(NamedTuple):
    """The module that has `measure`, and one line about it."""

    module: str
    summary: str
    budgeted: bool = False  # `measure(minutes, tell)` keeps to a time, and tells its rows as they become known
    judges: bool = False  # `measure(runs)` takes runs


BENCHMARKS = {
    "throughput": Entry(
        "throughput", "MAML-PPO by environment, physics backend and number of tasks, learning included"
    ),
    "scaling": Entry("scaling", "time of a meta-iteration over the number of tasks, and the exponent"),
    "devices": Entry(
        "devices", "an iteration over 1 to 8 devices: time, bytes that they tell each other, largest array"
    ),
    "peers": Entry("peers", "Meta-World stepping and MAML-PPO on ML10, beside the packages that are installed"),
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
    "exports": Entry(
        "exports", "steps per second through as_gymnasium, beside a rollout and the package's AsyncVectorEnv"
    ),
    "metaworld-memory": Entry("metaworld.memory", "peak memory over rollouts of MT50 in 500 environments"),
    "accelerator": Entry(
        "accelerator", "on a GPU, in --minutes: right, stepping, one real result, training, where the time goes", True
    ),
    "optimum": Entry(
        "optimum",
        "what RL^2 earns on bandits and tabular MDPs (--runs), beside classical players and the optimum",
        judges=True,
    ),
    "off-policy": Entry(
        "off_policy", "SAC on HalfCheetah-v5: steps and updates per second, beside SBX where installed"
    ),
    "sequence": Entry("sequence", "time, memory and compilation of every memory, forward and backward over a sequence"),
}


def run(
    name: str, as_json: bool, out: Path | None, command: str, minutes: float | None = None, runs: Sequence[Path] = ()
) -> None:
    """Measures, and prints a table or one JSON object: `machine`, `command`, `commit`, `rows`.

    Args:
      name: a key of BENCHMARKS.
      as_json: print JSON.
      out: directory for NAME.json, NAME.md and, of a benchmark that draws, NAME.png.
      command: what was typed, for the record.
      minutes: for a benchmark that keeps to a time.
      runs: for a benchmark that takes runs.

    Raises:
      ConfigError: there is no such benchmark, it keeps to no time or takes no runs, or `out` cannot be written.
    """
    entry = lookup(name, BENCHMARKS, "benchmark")
    if minutes is not None and not entry.budgeted:
        raise ConfigError(f"--minutes: {name} takes the time that it takes; leave it out.")
    if runs and not entry.judges:
        raise ConfigError(f"--runs: {name} takes no runs; leave them out.")
    if out is not None:
        _make_writable(out)  # now: measuring takes minutes
    with contextlib.redirect_stdout(sys.stderr):  # what anybody prints; the result alone belongs on standard output
        module = importlib.import_module(f".{entry.module}", __name__)
        if entry.budgeted:
            report = _run_budgeted(module, name, out, command, minutes)
        else:
            rows = module.measure(runs) if entry.judges else module.measure()
            report = Report(machine(), command, commit(), rows)
            _write(report, out, name)
    print(report.to_json()) if as_json else report.print()
    if out is not None and hasattr(module, "draw"):
        module.draw(report.rows, out / f"{name}.png")


def _run_budgeted(module: Any, name: str, out: Path | None, command: str, minutes: float | None) -> Report:
    """Writes all rows so far whenever there is one more: what comes after may fail, or be ended from outside."""
    report = Report(module.machine(), command, commit(), [])

    def tell(rows: list[dict[str, Any]]) -> None:
        report.rows[:] = rows
        _write(report, out, name)

    module.measure(minutes or module.MINUTES, tell, out)
    return report


def _write(report: Report, out: Path | None, name: str) -> None:
    if out is not None:
        (out / f"{name}.json").write_text(report.to_json() + "\n")
        (out / f"{name}.md").write_text(report.to_markdown())


def _make_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {directory} cannot be made: {error.strerror}. Choose another directory.") from error
    if not os.access(directory, os.W_OK):
        raise ConfigError(f"--out {directory} cannot be written. Choose another directory, or mend its permissions.")
