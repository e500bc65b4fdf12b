"""Grids of runs: a process for each, resumable, one table and one figure at the end."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np

from .. import evaluation
from ..errors import ConfigError
from . import children
from .files import read_json, write_atomically
from .runlog import has_checkpoint

# Options of `metarl train` that a sweep gives to its runs.
OWN = {"seed", "seeds", "run-dir", "resume", "preset", "distributed", "coordinator", "processes", "process-id"}


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
      ConfigError: an axis that is not written so, is no field of the configuration, or is there twice.
    """
    axes: dict[str, list[str]] = {}
    for axis in grid:
        field, _, values = _checked(axis, axes).partition("=")
        axes[field] = values.split(",")
    cells = []
    for chosen in itertools.product(*axes.values()):
        settings = dict(zip(axes, chosen, strict=True))
        words = [word for field, value in settings.items() for word in (f"--{field.replace('_', '-')}", value)]
        for seed in seeds:
            directory = out / label(settings).replace("/", "-") / f"seed-{seed}"
            cells.append(Cell(settings, seed, directory, (*train, *words, "--seed", str(seed))))
    return cells


def _checked(axis: str, others: Iterable[str]) -> str:
    field, equals, values = axis.partition("=")
    spelt = field.replace("_", "-")
    if not (field and equals and all(values.split(","))) or spelt in {other.replace("_", "-") for other in others}:
        raise ConfigError(f"--grid {axis!r}: write field=value,value,... once for each field.")
    if len(set(values.split(","))) < len(values.split(",")):
        raise ConfigError(f"--grid {axis!r}: give each value once.")
    if spelt in OWN:
        raise ConfigError(
            f"--grid {axis!r}: {field} is the sweep's own matter; seeds go to --seeds, directories below --out."
        )
    return axis


def check_distinct(cells: Sequence[Cell], configs: Sequence[Any]) -> None:
    """ConfigError where two cells are the same run, each cell with its configuration, or would lie in the same place."""
    for i, (cell, config) in enumerate(zip(cells, configs, strict=True)):
        for other, same in zip(cells[:i], configs[:i], strict=True):
            if config == same or cell.directory == other.directory:
                raise ConfigError(f"--grid: {other.name} and {cell.name} are the same: leave one of them out.")


def claim(out: Path, plan: dict[str, Any]) -> None:
    """Writes what the sweep is to OUT/sweep.json; ConfigError where another sweep, or something else, has been there."""
    path = out / "sweep.json"
    if path.exists():
        try:
            there = read_json(path, Any)
        except ConfigError as error:
            raise ConfigError(f"{error} Remove it if {out} holds this very sweep, or choose another --out.") from error
        if there != plan:
            raise ConfigError(
                f"{out} holds another sweep ({path}): choose another --out, or repeat its options to go on."
            )
    elif out.is_dir() and (others := [each.name for each in out.iterdir() if not each.is_dir()]):
        raise ConfigError(f"{out} holds something else than a sweep ({min(others)}): choose another --out.")
    write_atomically(path, json.dumps(plan, indent=2))


def command(cell: Cell) -> list[str]:
    """What begins a run, or goes on with it where it has a checkpoint; what is there may be being written, and stays."""
    start = [sys.executable, "-m", "metarl_jax.cli", "train"]
    if has_checkpoint(cell.directory):
        return [*start, "--resume", str(cell.directory)]
    return [*start, *cell.argv, "--run-dir", str(cell.directory)]


class Curve(TypedDict):
    """What is read of an evaluation, eval/*.json, of N tasks."""

    tasks: str
    notes: list[str]
    task: list[int]  # [N], see `evaluation.Rows`
    task_env: list[str]  # [N]
    all_tasks: bool
    returns: list[list[float]]  # [K + 1, N]
    success: NotRequired["_Success"]


class _Success(TypedDict):
    values: list[list[float]]  # [K + 1, N]


class _Summary(TypedDict):
    """What is read of summary.json."""

    iterations: int


def outcome(cell: Cell) -> Curve | None:
    """The evaluation that a run ended with; None where it has not ended, or, after a word about them, its files are damaged."""
    path = cell.directory / "summary.json"
    if not path.exists():
        return None
    try:
        iterations = read_json(path, _Summary)["iterations"]
        path = cell.directory / "eval" / f"iteration-{iterations}.json"
        curve: Curve = read_json(path, Curve)
        tables = [curve["returns"], *([curve["success"]["values"]] if "success" in curve else [])]
        sizes = {len(curve["task_env"]), *(len(table[-1]) if table else 0 for table in tables)}
        if sizes != {len(curve["task"])} or not curve["task"]:
            raise ConfigError(f"{path} is damaged: there must be a return for each task.")
        return curve
    except ConfigError as error:
        print(f"{error} The run is taken for unfinished: it ends by writing that anew.", file=sys.stderr)
        return None


def unfinished(cells: Iterable[Cell]) -> list[Cell]:
    """Runs that have not ended with an evaluation."""
    return [cell for cell in cells if outcome(cell) is None]


def run_here(cells: Sequence[Cell], jobs: int, say: Callable[[str], None]) -> None:
    """Runs processes of this machine, `jobs` at once; what they print goes to a .log beside their directory."""
    waiting, running = list(cells), dict[Path, subprocess.Popen]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop(0)
                cell.directory.parent.mkdir(parents=True, exist_ok=True)
                with open(cell.directory.with_suffix(".log"), "a") as log:
                    process = children.start(command(cell), stdout=log, stderr=log)
                running[cell.directory] = process
            for directory, process in list(running.items()):
                if process.poll() is not None:
                    del running[directory]
                    code = children.finish(process)
                    failure = f"failed with {code}, see {directory.with_suffix('.log')}"
                    say(f"{directory}: {failure if code else 'done'}; {len(waiting) + len(running)} to go")
            time.sleep(0.2)
    finally:  # Ctrl-C: they save, and can be resumed
        for process in running.values():
            process.terminate()
        for process in running.values():
            children.finish(process)


def slurm_executor(out: Path, parameters: dict[str, Any], cluster: str = "slurm") -> Any:
    """What submits jobs to Slurm (https://github.com/facebookincubator/submitit); ConfigError where there is none.

    Args:
      out: directory of the sweep; submitit's files go to OUT/jobs.
      parameters: of `submitit.AutoExecutor.update_parameters`: timeout_min, slurm_partition, gpus_per_node, ...
      cluster: where; `local` runs processes here.
    """
    try:
        import submitit
    except ImportError as error:
        raise ConfigError("--slurm needs the extra: pip install 'metarl-jax[slurm]'.") from error
    try:
        executor = submitit.AutoExecutor(folder=out / "jobs", cluster=cluster)
        executor.update_parameters(**parameters)
    except (
        RuntimeError,
        NameError,
        TypeError,
        ValueError,
        AssertionError,
    ) as error:  # there is no Slurm; no such parameter
        raise ConfigError(f"--slurm: {' '.join(str(error).split())}") from error
    return executor


def run_on_slurm(cells: Sequence[Cell], executor: Any) -> None:
    """Submits a job for each run and waits for all; see `slurm_executor`."""
    from submitit.helpers import CommandFunction

    with executor.batch():
        jobs = [executor.submit(CommandFunction(command(cell))) for cell in cells]
    for job in jobs:
        job.wait()


def table(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """One row for each setting with finished runs: its tasks after adaptation, over seeds and tasks."""
    rows = []
    for name in dict.fromkeys(cell.name for cell in cells):
        runs = [cell for cell in cells if cell.name == name]
        curves = [curve for cell in runs if (curve := outcome(cell)) is not None]
        if not curves:
            continue
        row = {"settings": name, **runs[0].settings, "seeds": len(curves), "of": len(runs)}
        row |= {"tasks": curves[0]["tasks"], "notes": [*curves[0]["notes"], *_notes(len(curves))]}
        tasks = evaluation.Rows(curves[0]["task"], curves[0]["task_env"], curves[0]["all_tasks"])
        row["return"] = _estimate([c["returns"][-1] for c in curves], tasks, evaluation.Estimate._fields)
        if "success" in curves[0]:
            values = [c["success"]["values"][-1] for c in curves if "success" in c]
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
