"""What `metarl` shows on the terminal."""

import contextlib
import datetime
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich import progress as rich_progress
from rich.console import Console
from rich.table import Table

from ..config import ExperimentConfig
from ..evaluation import Estimate
from .tables import NOT_MARKUP

_COLUMNS = ("mean", "95 % interval", "IQM", "95 % interval")  # of estimates
_LINE_EVERY = 10.0  # seconds between lines where there is no terminal to draw a bar on


def default_run_dir(config: ExperimentConfig) -> Path:
    """Where a run goes that is not told where: its name holds the time to the microsecond."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    return Path("runs") / f"{config.preset}-s{config.seed}-{now}"


@contextlib.contextmanager
def bars() -> Iterator[Callable[[str, int], Callable[[int, str], None]]]:
    """Live bars, or a line every ten seconds where there is no terminal to draw them on.

    Yields a function: name of a bar, total -> a function that is told how much is done, and words about it.
    """
    drawn = rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.TextColumn("{task.fields[words]}  ETA", markup=False),
        rich_progress.TimeRemainingColumn(),
        console=Console(stderr=True, **NOT_MARKUP),
        disable=not sys.stderr.isatty(),
    )

    def begin(name: str, total: int) -> Callable[[int, str], None]:
        task, last_line = drawn.add_task(name, total=total, words=""), time.monotonic()

        def update(done: int, words: str) -> None:
            nonlocal last_line
            drawn.update(task, completed=done, words=words)
            if drawn.disable and (time.monotonic() - last_line > _LINE_EVERY or done == total):
                print(f"{name}: {words}", file=sys.stderr, flush=True)
                last_line = time.monotonic()

        return update

    with drawn:
        yield begin


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Says what is being computed, and for how long already: a clock on a terminal, else one line."""
    if not sys.stderr.isatty():
        print(f"{what} ...", file=sys.stderr, flush=True)
        yield
        return
    clock = rich_progress.Progress(
        rich_progress.SpinnerColumn(),
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.TimeElapsedColumn(),
        console=Console(stderr=True, **NOT_MARKUP),
        transient=True,
    )
    with clock:
        clock.add_task(what, total=None)
        yield


@contextlib.contextmanager
def training_bar(config: ExperimentConfig) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar of a run; yields a function of rows of metrics. It shows iteration, steps/s, returns, successes, ETA."""
    with bars() as begin:
        update = begin(config.preset, config.iterations)
        update(0, "compiling")

        def show(row: dict[str, Any]) -> None:
            words = f"{row['iteration']}/{config.iterations}  {row['env_steps_per_second']:,.0f} steps/s"
            for what in ("return", "success"):
                if f"{what}_after" in row:
                    words += f"  {what} {_number(row[f'{what}_before'])} -> {_number(row[f'{what}_after'])}"
            update(row["iteration"], words)

        yield show


@contextlib.contextmanager
def steps_bars() -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """A bar over environment steps for each part of a long evaluation.

    Yields a function: name of a part, greatest number of steps -> a function of numbers of steps done since its last call.
    """
    with bars() as begin:

        def begin_part(name: str, max_steps: int) -> Callable[[int], None]:
            update, done = begin(name, max_steps), 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                update(done, f"{done:,} of at most {max_steps:,} steps")

            return advance

        yield begin_part


def print_summary(summary: dict[str, Any], directory: Path) -> None:
    """A table of what `summary.json` holds."""
    table = Table(title=f"{summary['preset']}, seed {summary['seed']}: {summary['tasks']}")
    for name in ("", *_COLUMNS):
        table.add_column(name, justify="right" if name else "left")
    for what in ("return", "success"):
        for when in ("before", "after"):
            if f"{what}_{when}" in summary:
                table.add_row(f"{what} {when} adaptation", *_estimate(summary[f"{what}_{when}"]))
    console = Console(**NOT_MARKUP)
    console.print(table)
    _print_notes(summary["notes"])
    console.print(
        f"{summary['iterations']} iterations, {summary['env_steps']:,} environment steps in {summary['wall_seconds']:.0f} s: "
        f"{summary['compile_seconds']:.0f} s compiling, {summary['train_seconds']:.0f} s training "
        f"({summary['env_steps_per_second']:,.0f} steps/s after the first iteration), the rest evaluation and files\n{directory}",
        soft_wrap=True,
    )


def print_sweep(rows: list[dict[str, Any]], tasks: str) -> None:
    """A line for each setting of a sweep; `tasks` says what they were judged on."""
    table = Table(title=f"after adaptation: {tasks}")
    columns = {"return": ("return, mean", *_COLUMNS[1:]), "success": ("success, mean", _COLUMNS[1])}
    kinds = [what for what in columns if rows and all(what in row for row in rows)]
    for name in ("settings", "seeds", *[name for what in kinds for name in columns[what]]):
        table.add_column(name, justify="left" if name == "settings" else "right")
    for row in rows:
        cells = [cell for what in kinds for cell in _estimate(row[what])[: len(columns[what])]]
        table.add_row(row["settings"], f"{row['seeds']} of {row['of']}", *cells)
    Console(**NOT_MARKUP).print(table)
    _print_notes(dict.fromkeys(note for row in rows for note in row["notes"]))


def print_online(report: dict[str, Any]) -> None:
    """A table of what `algorithms.online.report` returns."""
    table = Table(title=f"return on {report['tasks']} tasks of {report['env']}")
    for name in ("", "mean", "95 % interval of the mean"):
        table.add_column(name, justify="right" if name else "left")
    for what, words in (("frozen", "after adaptation, frozen"), ("learned", "after learning on"), ("gain", "gain")):
        low, high = report[what]["mean_interval"]
        table.add_row(words, f"{report[what]['mean']:.2f}", f"{low:.2f} to {high:.2f}")
    console = Console(**NOT_MARKUP)
    console.print(table)
    console.print(
        f"{len(report['curve']['mean'])} episodes of each task; {np.count_nonzero(report['restored'])} of {report['tasks']} "
        "policies went back to the start at least once",
        soft_wrap=True,
    )
    _print_notes(report["notes"])


def print_curve(curve: dict[str, Any], steps: tuple[int, ...]) -> None:
    """A table of returns, and one of success where the environment names it."""
    for what, estimates in (("return", curve), ("success", curve.get("success"))):
        if estimates is None:
            continue
        table = Table(title=f"{curve['env']}: {what}, {curve['tasks']}")
        names = _COLUMNS if "iqm" in estimates else _COLUMNS[:2]
        for name in ("adaptation steps", *names):
            table.add_column(name, justify="right")
        for step in steps:
            point = {name: estimates[name][step] for name in Estimate._fields if name in estimates}
            table.add_row(str(step), *_estimate(point)[: len(names)])
        Console(**NOT_MARKUP).print(table)
    if "success" in curve and len(set(curve["task_env"])) > 1:
        _print_success_by_env(curve)
    _print_notes(curve["notes"])


def _print_success_by_env(curve: dict[str, Any]) -> None:
    table = Table(title="success after the last step, by environment")
    table.add_column("environment")
    table.add_column("mean", justify="right")
    last = np.array(curve["success"]["values"][-1])
    for name in dict.fromkeys(curve["task_env"]):
        table.add_row(name, f"{last[np.array(curve['task_env']) == name].mean():.2f}")
    Console(**NOT_MARKUP).print(table)


def print_host_report(report: dict[str, Any]) -> None:
    """Success by task on the metaworld package: the evaluators side by side, and notes."""
    official, per_goal = report.get("official"), report.get("per-goal")
    table = Table(
        title=f"{report['suite']}, {report['split']}, on the metaworld package: success after adaptation episodes"
    )
    columns = [*map(str, per_goal["adaptation_episodes"]), "95 % of the last"] if per_goal else []
    columns += ["official"] * bool(official)
    for name in ("", *columns):
        table.add_column(name, justify="right" if name else "left")

    def add(label: str, curve: dict[str, Any] | None, official_success: float | None) -> None:
        cells = [f"{value:.2f}" for value in curve["mean"]] if curve else []
        if curve:
            low, high = curve["mean_interval"][-1]
            cells.append(f"{low:.2f} to {high:.2f}")
        if official:
            cells.append("" if official_success is None else f"{official_success:.2f}")
        table.add_row(label, *cells)

    for name in report[report["evaluators"][0]]["task_success"]:
        by_task = per_goal and per_goal["task_success"][name]
        add(name, by_task, official and official["task_success"][name])
    table.add_section()
    add("mean", per_goal, official and official["success"])
    Console(**NOT_MARKUP).print(table)
    times = [f"{kind} took {report[kind]['seconds']:.0f} s" for kind in report["evaluators"]]
    _print_notes((*report["notes"], *times))


def _estimate(point: dict[str, Any]) -> tuple[str, str, str, str]:
    """Cells of _COLUMNS; in place of an interval that few runs do not give, what each of them came to."""

    def interval(ends: tuple[float, float] | None, each: str) -> str:
        return " to ".join(map(_number, ends)) if ends else "seeds: " + ", ".join(map(_number, point[each]))

    if "iqm" not in point:
        return _number(point["mean"]), interval(point["mean_interval"], "mean_of_each"), "", ""
    return (
        _number(point["mean"]),
        interval(point["mean_interval"], "mean_of_each"),
        _number(point["iqm"]),
        interval(point["interval"], "iqm_of_each"),
    )


def _print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        Console(**NOT_MARKUP).print(f"- {note}", soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
