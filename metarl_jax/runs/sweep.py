"""Grids of runs: a process for each, resumable, one table and one figure at the end."""

import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import evaluation
from ..errors import ConfigError
from .runlog import write_atomically


class Cell(NamedTuple):
    """One run of a grid."""

    settings: dict[str, str]  # values by dotted field, as they were written
    seed: int
    directory: Path
    argv: tuple[str, ...]  # of `metarl train`, but for where it goes

    @property
    def name(self) -> str:
        return label(self.settings)


def label(settings: dict[str, str]) -> str:
    """Settings as one word, each by the last part of its field's name where that is clear."""
    lasts = [field.rpartition(".")[2] for field in settings]
    names = [last if lasts.count(last) == 1 else field for field, last in zip(settings, lasts, strict=True)]
    return ",".join(f"{name}={value}" for name, value in zip(names, settings.values(), strict=True)) or "default"


def expand(out: Path, train: Sequence[str], grid: Sequence[str], seeds: Sequence[int]) -> list[Cell]:
    """All runs of a grid.

    Args:
      out: directory of the sweep.
      train: preset and options that all runs share, as `metarl train` takes them.
      grid: `field=value,value,...`, each an axis.
      seeds: of each cell.

    Raises:
      ConfigError: an axis that is not written so, or is there twice.
    """
    axes: dict[str, list[str]] = {}
    for axis in grid:
        field, equals, values = axis.partition("=")
        if not (field and equals and all(values.split(","))) or field in axes:
            raise ConfigError(f"--grid {axis!r}: write field=value,value,... once for each field.")
        axes[field] = values.split(",")
    cells = []
    for chosen in itertools.product(*axes.values()):
        settings = dict(zip(axes, chosen, strict=True))
        words = [word for field, value in settings.items() for word in (f"--{field.replace('_', '-')}", value)]
        for seed in seeds:
            directory = out / label(settings).replace("/", "-") / f"seed-{seed}"
            cells.append(Cell(settings, seed, directory, (*train, *words, "--seed", str(seed))))
    return cells


def claim(out: Path, plan: dict[str, Any]) -> None:
    """Writes what the sweep is to OUT/sweep.json; ConfigError where another sweep has been there."""
    path = out / "sweep.json"
    if path.exists() and json.loads(path.read_text()) != plan:
        raise ConfigError(f"{out} holds another sweep ({path}): choose another --out, or repeat its options to go on.")
    write_atomically(path, json.dumps(plan, indent=2))


def command(cell: Cell) -> list[str]:
    """What begins a run, or goes on with it where it has a checkpoint."""
    start = [sys.executable, "-m", "metarl_jax.cli", "train"]
    if any((cell.directory / "checkpoints" / "latest").glob("[0-9]*")):
        return [*start, "--resume", str(cell.directory)]
    shutil.rmtree(cell.directory, ignore_errors=True)  # begun, and ended before its first checkpoint
    return [*start, *cell.argv, "--run-dir", str(cell.directory)]


def unfinished(cells: Iterable[Cell]) -> list[Cell]:
    """Runs without a summary."""
    return [cell for cell in cells if not (cell.directory / "summary.json").exists()]


def run_here(cells: Sequence[Cell], jobs: int, say: Callable[[str], None]) -> None:
    """Runs processes of this machine, `jobs` at once; what they print goes to a .log beside their directory."""
    waiting, running = list(cells), dict[Path, subprocess.Popen]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop(0)
                cell.directory.parent.mkdir(parents=True, exist_ok=True)
                with open(cell.directory.with_suffix(".log"), "a") as log:
                    process = subprocess.Popen(command(cell), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                running[cell.directory] = process
            for directory, process in list(running.items()):
                if process.poll() is not None:
                    del running[directory]
                    code = process.returncode
                    failure = f"failed with {code}, see {directory.with_suffix('.log')}"
                    say(f"{directory}: {failure if code else 'done'}; {len(waiting) + len(running)} to go")
            time.sleep(0.2)
    finally:  # Ctrl-C: they save, and can be resumed
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def run_on_slurm(cells: Sequence[Cell], out: Path, parameters: dict[str, Any], cluster: str = "slurm") -> None:
    """Submits a job for each run and waits for all (https://github.com/facebookincubator/submitit).

    Args:
      cells: runs.
      out: directory of the sweep; submitit's files go to OUT/jobs.
      parameters: of `submitit.AutoExecutor.update_parameters`: timeout_min, slurm_partition, gpus_per_node, ...
      cluster: where; `local` runs processes here.
    """
    try:
        import submitit
    except ImportError as error:
        raise ConfigError("--slurm needs the extra: pip install 'metarl-jax[slurm]'.") from error
    executor = submitit.AutoExecutor(folder=out / "jobs", cluster=cluster)
    executor.update_parameters(**parameters)
    with executor.batch():
        jobs = [executor.submit(submitit.helpers.CommandFunction(command(cell))) for cell in cells]
    for job in jobs:
        job.wait()


def table(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """One row for each setting with finished runs: its tasks after adaptation, over seeds and tasks."""
    rows = []
    for name in dict.fromkeys(cell.name for cell in cells):
        runs = [cell for cell in cells if cell.name == name]
        done = [cell for cell in runs if cell not in unfinished(runs)]
        if not done:
            continue
        curves = [_latest_curve(cell.directory) for cell in done]
        row = {"settings": name, **runs[0].settings, "seeds": len(done), "of": len(runs)}
        row |= {"tasks": curves[0]["tasks"], "notes": [*curves[0]["notes"], *_notes(len(done))]}
        tasks = evaluation.Rows(*(curves[0][name] for name in ("task", "task_env", "all_tasks")))
        row["return"] = _estimate([c["returns"][-1] for c in curves], tasks, evaluation.Estimate._fields)
        if "success" in curves[0]:
            values = [c["success"]["values"][-1] for c in curves]
            row["success"] = _estimate(values, tasks, evaluation.SUCCESS_FIELDS)
        rows.append(row)
    return rows


def words(rows: Sequence[dict[str, Any]]) -> str:
    """What the settings in a table were judged on."""
    return ", ".join(dict.fromkeys(row["tasks"] for row in rows))


def _notes(num_seeds: int) -> list[str]:
    """What the intervals of so many seeds do not say."""
    if num_seeds == 1:
        return ["one seed: its interval says nothing of other seeds"]
    few = f"fewer than {evaluation.MIN_RUNS} seeds give no interval: what each of them came to stands in its place"
    return [few] if num_seeds < evaluation.MIN_RUNS else []


def _estimate(values: list[list[float]], tasks: evaluation.Rows, fields: Sequence[str]) -> dict[str, Any]:
    """Of R runs on N tasks, `[R, N]`, all runs on the same ones: over runs and tasks, and of each run over tasks."""
    table = np.array(values)
    whole, each = evaluation.over_tasks(table, tasks), [evaluation.over_tasks(row, tasks) for row in table]
    of_each = {f"{name}_of_each": [getattr(e, name) for e in each] for name in ("mean", "iqm") if name in fields}
    return {name: getattr(whole, name) for name in fields} | of_each


def _latest_curve(run: Path) -> dict[str, Any]:
    """The evaluation that a finished run ended with."""
    iteration = json.loads((run / "summary.json").read_text())["iterations"]
    return json.loads((run / "eval" / f"iteration-{iteration}.json").read_text())
