"""How long a run takes: by the clock on the wall, and the parts that are compiling and training."""

import json
import time
from pathlib import Path
from typing import Any

from .runlog import read_metrics

FIELDS = ("wall_seconds", "compile_seconds", "train_seconds")


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
        self.training = _past(self._directory)["train_seconds"]

    def read(self) -> dict[str, float]:
        """The seconds so far, under the names that they have in metrics and summary."""
        wall = time.perf_counter() - self._began
        return dict(zip(FIELDS, (wall, self.compiling, self.training), strict=True))


def _past(directory: Path) -> dict[str, float]:
    """What earlier starts took: as the last row says, or the summary, which is written later."""
    rows = read_metrics(directory)
    past = {name: rows[-1][name] if rows else 0.0 for name in FIELDS}
    summary = directory / "summary.json"
    if rows and summary.exists():
        past["wall_seconds"] = max(past["wall_seconds"], json.loads(summary.read_text())["wall_seconds"])
    return past


def rate(rows: list[dict[str, Any]]) -> float:
    """Environment steps per second of training alone, without the first iteration (which warms up) where there are more."""
    first, last = (rows[0] if len(rows) > 1 else dict.fromkeys(("env_steps", "train_seconds"), 0)), rows[-1]
    return (last["env_steps"] - first["env_steps"]) / (last["train_seconds"] - first["train_seconds"])
