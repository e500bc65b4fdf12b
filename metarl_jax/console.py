"""What `metarl` shows on the terminal."""

import datetime
import sys
import time
from pathlib import Path
from typing import Any

from rich import progress as rich_progress
from rich.console import Console
from rich.table import Table

from .config import ExperimentConfig

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal to draw a bar on


def default_run_dir(config: ExperimentConfig) -> Path:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    return Path("runs") / f"{config.preset}-s{config.seed}-{now}"


class Progress:
    """A live bar: iteration, steps/s, return before and after adaptation, ETA. Use as a context manager; call with rows."""

    def __init__(self, config: ExperimentConfig):
        self._total = config.iterations
        self._last_line = 0.0
        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[numbers]}"),
            rich_progress.TextColumn("ETA"),
            rich_progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(config.preset, total=config.iterations, numbers="compiling")

    def __call__(self, row: dict[str, Any]) -> None:
        numbers = (
            f"{row['env_steps_per_second']:,.0f} steps/s  return {_number(row['return_before'])} -> "
            f"{_number(row['return_after'])}"
        )
        self._bar.update(self._task, completed=row["iteration"], numbers=numbers)
        now = time.monotonic()
        if self._bar.disable and (now - self._last_line > _LINE_EVERY or row["iteration"] == self._total):
            print(f"{row['iteration']}/{self._total}  {numbers}", file=sys.stderr, flush=True)
            self._last_line = now

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        self._bar.stop()


def print_summary(summary: dict[str, Any], directory: Path) -> None:
    table = Table(title=f"{summary['preset']}, seed {summary['seed']}: held-out tasks")
    for name in ("return", "mean", "IQM", "95 % interval of the IQM"):
        table.add_column(name, justify="left" if name == "return" else "right")
    for name in ("before", "after"):
        table.add_row(f"{name} adaptation", *_estimate(summary[f"return_{name}"]))
    console = Console()
    console.print(table)
    console.print(
        f"{summary['iterations']} iterations, {summary['env_steps']:,} environment steps in {summary['seconds']:.0f} s "
        f"({summary['env_steps_per_second']:,.0f} steps/s)\n{directory}",
        highlight=False,
        soft_wrap=True,
    )


def print_curve(curve: dict[str, Any], steps: tuple[int, ...]) -> None:
    table = Table(title=f"{curve['env']}: return on {len(curve['returns'][0])} held-out tasks")
    for name in ("adaptation steps", "mean", "IQM", "95 % interval of the IQM"):
        table.add_column(name, justify="right")
    for step in steps:
        point = {name: curve[name][step] for name in ("mean", "iqm", "interval")}
        table.add_row(str(step), *_estimate(point))
    Console().print(table)


def print_tables(tables: dict[str, dict[str, str]]) -> None:
    """Titles, each over names and one line about each."""
    for title, rows in tables.items():
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for name, summary in rows.items():
            table.add_row(name, summary)
        Console().print(table, "")


def _estimate(point: dict[str, Any]) -> tuple[str, str, str]:
    low, high = point["interval"]
    return f"{point['mean']:.1f}", f"{point['iqm']:.1f}", f"{low:.1f} to {high:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
