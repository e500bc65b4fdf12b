"""`metarl bench`."""

import dataclasses
import shlex
from pathlib import Path
from typing import Literal

import tyro

from .. import benchmarks
from ..errors import ConfigError
from .options import parse


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """Measure; see benchmarks/."""

    name: tyro.conf.Positional[Literal[tuple(benchmarks.BENCHMARKS)]]  # type: ignore[valid-type]  # known when it runs
    """Which."""
    json: bool = False
    """Print one JSON object instead of a table."""
    out: Path | None = None
    """Directory that also gets NAME.json, NAME.md (a Markdown table) and, of benchmarks that draw, NAME.png."""
    minutes: float | None = None
    """Time that the accelerator's benchmark keeps to (8 where left out)."""
    runs: tuple[Path, ...] = ()
    """Directories of runs that `optimum` judges in place of training: one of each of its presets."""


def run(argv: list[str]) -> int:
    """`metarl bench`; returns the exit code."""
    options = parse(BenchOptions, argv)
    if options.minutes is not None and not 0.0 < options.minutes < float("inf"):
        raise ConfigError(f"--minutes must be positive and finite, not {options.minutes}.")
    command = shlex.join(["metarl", "bench", *argv])
    benchmarks.run(options.name, options.json, options.out, command, options.minutes, options.runs)
    return 0
