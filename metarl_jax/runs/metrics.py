"""metrics.jsonl: a row for each iteration, how it is read, and how it is mended where it is damaged.

TensorBoard's files tell the same, as float32, which the metrics of a program are, and with a checksum of each row.
"""

import ctypes
import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError
from . import board

Row = dict[str, Any]  # numbers by name, None where one is not defined or was lost

FIELDS = ("wall_seconds", "compile_seconds", "train_seconds")  # see clock.py
_ALWAYS = ("iteration", "env_steps", *FIELDS, "return_before", "return_after")


class Mended(NamedTuple):
    """Rows of metrics, and what was wrong with them."""

    rows: list[Row]
    complaint: str | None


class _Parsed(NamedTuple):
    rows: dict[int, Row]  # by iteration
    damaged: bool  # whether there is more in the file


def path_in(directory: Path) -> Path:
    """Of the metrics of a run."""
    return directory / "metrics.jsonl"


def read_metrics(directory: Path) -> list[Row]:
    """The whole rows of metrics.jsonl; all have the same names, but for those of evaluations."""
    return _alike(_parse(directory).rows)


def read_mended(directory: Path) -> list[Row]:
    """The rows of metrics.jsonl; where some are damaged, after a word about them, as TensorBoard's files tell them."""
    parsed = _parse(directory)
    if parsed.rows and not parsed.damaged and len(parsed.rows) == max(parsed.rows):
        return _alike(parsed.rows)
    told = _told(directory)
    rows, complaint = _mend(
        directory, parsed, told, max([*parsed.rows, *told], default=0), _env_steps(parsed.rows, told)
    )
    if complaint:
        print(complaint, file=sys.stderr)
    return rows


def mend(directory: Path, last: int, env_steps: int) -> Mended:
    """The rows of all iterations up to `last`, and those after it that are there.

    A row that is lost, and that TensorBoard's files do not tell either, has no numbers but its own and its steps.

    Args:
      directory: of the run.
      last: iteration that the run goes on from.
      env_steps: of each iteration.
    """
    parsed = _parse(directory)
    told = {iteration: values for iteration, values in _told(directory).items() if iteration <= last}
    rows, complaint = _mend(directory, parsed, told, last, env_steps)
    there = {row["iteration"] for row in rows}
    nothing = dict.fromkeys(
        name for row in [dict.fromkeys(_ALWAYS), *rows[:1]] for name in row if not _is_of_some(name)
    )
    lost = [nothing | {"iteration": i, "env_steps": i * env_steps} for i in range(1, last + 1) if i not in there]
    return Mended(sorted([*rows, *lost], key=lambda row: row["iteration"]), complaint)


def _mend(directory: Path, parsed: _Parsed, told: dict[int, dict[str, float]], last: int, env_steps: int) -> Mended:
    """The rows that there are, corrected where TensorBoard's files tell something else; complains of gaps up to `last`."""
    rows, corrected = dict(parsed.rows), []
    for iteration, values in told.items():
        if not _agrees(rows.get(iteration, {}), values):
            rows[iteration] = _corrected(rows.get(iteration, {}), values, iteration, env_steps)
            corrected.append(iteration)
    words = [f"{_named(_runs(corrected))} taken from tensorboard/"] if corrected else []
    if lost := _gaps(rows, last):
        words.append(f"{_named(lost)} lost")
    if parsed.damaged and not words:
        words = ["lines that are no rows are left out"]
    return Mended(_alike(rows), f"{path_in(directory)} was damaged: {', '.join(words)}" if words else None)


def _parse(directory: Path) -> _Parsed:
    """ConfigError where the file is there and cannot be read."""
    path = path_in(directory)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return _Parsed({}, False)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    rows: dict[int, Row] = {}
    lines = content.splitlines()
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if _is_row(row):
            rows.setdefault(row["iteration"], row)
    return _Parsed(rows, len(rows) < len(lines))


def _told(directory: Path) -> dict[int, dict[str, float]]:
    """What TensorBoard's files tell of iterations; not where that is their evaluation alone."""
    told = board.read(directory / "tensorboard")
    return {iteration: values for iteration, values in told.items() if iteration > 0 and "env_steps" in values}


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or any(name not in row for name in _ALWAYS):
        return False
    counts = all(type(row[name]) is int and row[name] > 0 for name in ("iteration", "env_steps"))
    return counts and all(x is None or (type(x) in (int, float) and abs(x) < 2**63) for x in row.values())


def _agrees(row: Row, told: dict[str, float]) -> bool:
    """Whether a row says what TensorBoard's file tells, which may lack an evaluation."""
    if not all(_is_same(row.get(name), x) for name, x in told.items()):
        return False
    return all(name in told or x is None or name == "iteration" or _is_of_some(name) for name, x in row.items())


def _corrected(row: Row, told: dict[str, float], iteration: int, env_steps: int) -> Row:
    """What is told; the row's own number, which is more exact, where it is the same, and where nothing is told."""
    exact = {name: x for name, x in row.items() if name in told and _is_same(x, told[name])}
    untold = {name: x for name, x in row.items() if name not in told and (x is None or _is_of_some(name))}
    counts = {"iteration": iteration, "env_steps": iteration * env_steps}
    return dict.fromkeys(_ALWAYS) | told | exact | untold | counts


def _is_same(x: float | None, told: float) -> bool:
    return x is not None and ctypes.c_float(x).value == told


def _is_of_some(name: str) -> bool:
    """Whether it is a name that only rows of evaluated iterations have."""
    return name.startswith("eval_")


def _env_steps(rows: dict[int, Row], told: dict[int, dict[str, float]]) -> int:
    """Environment steps of an iteration; of the first that is known, whose steps float32 tells best."""
    known = {i: values["env_steps"] for i, values in {**told, **rows}.items()}
    return round(known[min(known)] / min(known)) if known else 0


def _alike(rows: dict[int, Row]) -> list[Row]:
    """In order, and with the names of all in each."""
    ordered = [rows[iteration] for iteration in sorted(rows)]
    names = dict.fromkeys(name for row in ordered for name in row if not _is_of_some(name))
    return [row if names.keys() <= row.keys() else names | row for row in ordered]


def _gaps(there: Iterable[int], last: int) -> list[range]:
    """The iterations from 1 to `last` that are not there."""
    ends = [0, *sorted(i for i in there if i <= last), last + 1]
    return [range(a + 1, b) for a, b in itertools.pairwise(ends) if b > a + 1]


def _runs(iterations: Iterable[int]) -> list[list[int]]:
    """Numbers as those that follow each other."""
    groups = itertools.groupby(enumerate(sorted(iterations)), key=lambda pair: pair[1] - pair[0])
    return [[number for _, number in group] for _, group in groups]


def _named(runs: Sequence[Sequence[int]]) -> str:
    """Runs of numbers in words: "iterations 3, 5-9 are"."""
    words = ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"iterations {words} are" if sum(map(len, runs)) > 1 else f"iteration {words} is"
