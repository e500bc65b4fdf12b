"""How long a run takes: by the clock on the wall, and the parts that are compiling and training."""

import sys
import time
from pathlib import Path
from typing import Any, TypedDict

from ..errors import ConfigError
from .files import read_json
from .metrics import FIELDS, read_metrics


class Clock:
    """Seconds of a run, over all its starts.

    `wall_seconds` are those since the command began, with all that it does: compiling, training, checkpoints, evaluation,
    and iterations that were lost or rolled back. `compile_seconds` went into compiling the training program,
    `train_seconds` into running it, for the iterations that count. Of several runs in one program each has the time of all.
    """

    def __init__(self, directory: Path, started: float | None = None):
        """Goes on from what the run's files say; `started` (of `time.perf_counter`) is when the command began."""
        self._directory, past = directory, _past(directory)
        self._began = (time.perf_counter() if started is None else started) - past["wall_seconds"]
        self.compiling, self.training = past["compile_seconds"], past["train_seconds"]

    def rewind(self) -> None:
        """After rows of metrics were forgotten: the seconds of their training do not count."""
        rows = _timed(read_metrics(self._directory))
        self.training = rows[-1]["train_seconds"] if rows else 0.0

    def read(self) -> dict[str, float]:
        """The seconds so far, under the names that they have in metrics and summary."""
        wall = time.perf_counter() - self._began
        return dict(zip(FIELDS, (wall, self.compiling, self.training), strict=True))


class _Took(TypedDict):
    """What is read of summary.json."""

    wall_seconds: float


def _past(directory: Path) -> dict[str, float]:
    """What earlier starts took: as the last row says that was not lost, or the summary, which is written later."""
    rows = _timed(read_metrics(directory))
    past = {name: rows[-1][name] if rows else 0.0 for name in FIELDS}
    summary = directory / "summary.json"
    if summary.exists():
        try:
            past["wall_seconds"] = max(past["wall_seconds"], read_json(summary, _Took)["wall_seconds"])
        except ConfigError as error:
            print(f"{error} It is written anew at the end of the run.", file=sys.stderr)
    return past


def _timed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[name] is not None for name in FIELDS)]


def rate(rows: list[dict[str, Any]]) -> float:
    """Environment steps per second of training alone, without the first iteration (which warms up) where there are more; 0.0
    where the metrics that tell it are lost.
    """
    nothing = dict.fromkeys(("env_steps", "train_seconds"), 0)
    rows = _timed(rows)
    first, last = (rows[0] if len(rows) > 1 else nothing), (rows[-1] if rows else nothing)
    seconds = last["train_seconds"] - first["train_seconds"]
    return (last["env_steps"] - first["env_steps"]) / seconds if seconds > 0.0 else 0.0
