"""The run directory: what a run leaves behind, and the contract with whoever reads it.

config.json      the whole configuration       metrics.jsonl   one object per iteration
summary.json     the outcome                   tensorboard/    the same metrics as events
checkpoints/     see checkpoint.py             eval/*.json     adaptation curves
plots/           learning.png, adaptation.png, video-*.mp4
"""

import contextlib
import errno
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from .. import config as config_lib
from ..config import ExperimentConfig
from ..errors import ConfigError


class RunLog:
    """Writes a run directory; one process at a time. Use as a context manager."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._lock = _lock(directory)
        self._metrics = open(directory / "metrics.jsonl", "a")  # noqa: SIM115 -- open as long as the run
        (directory / "tensorboard").mkdir(exist_ok=True)
        # Not SummaryWriter: its thread dies of a full disk without a word, and the run then waits for it for ever.
        self._board = EventsWriter(str(directory.absolute() / "tensorboard" / "events"), f".{os.getpid()}")

    @classmethod
    def create(cls, directory: Path, config: ExperimentConfig) -> "RunLog":
        """A new run; ConfigError where `directory` holds anything but a run that has not begun, or cannot be written."""
        with readable_errors(directory):
            empty = not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))
            if not empty and not has_not_begun(directory):
                raise ConfigError(
                    f"{directory} exists and is not empty: choose another --run-dir, or continue it with --resume {directory}."
                )
            directory.mkdir(parents=True, exist_ok=True)
            log = cls(directory)  # from here on nobody else writes there
            try:
                log.write_config(config)
            except BaseException:
                log.close()
                raise
            return log

    @classmethod
    def resume(cls, directory: Path) -> "RunLog":
        """An existing run; ConfigError where it has begun and there is no checkpoint to go on from."""
        if not has_checkpoint(directory) and not has_not_begun(directory):
            raise ConfigError(f"{directory} has no checkpoint to resume from.")
        with readable_errors(directory):
            return cls(directory)

    def write_config(self, config: ExperimentConfig) -> None:
        write_atomically(self.directory / "config.json", config_lib.to_json(config))

    def log(self, rows: Iterable[dict[str, Any]]) -> None:
        """Appends one row per iteration; `iteration` is its place in TensorBoard."""
        for row in rows:
            self._metrics.write(json.dumps(row) + "\n")
            self._show(row["iteration"], row)
        self._metrics.flush()
        self._board.flush()

    def add_to_last(self, values: dict[str, Any]) -> None:
        """Adds to the last row what became known of its iteration later."""
        *rows, last = read_metrics(self.directory)
        self._rewrite([*rows, last | values])
        self._show(last["iteration"], values)
        self._board.flush()

    def last_row_has(self, name: str) -> bool:
        rows = read_metrics(self.directory)
        return bool(rows) and name in rows[-1]

    def truncate(self, iteration: int) -> None:
        """Forgets the rows after `iteration`, which are about to be run again; TensorBoard is told to do so too."""
        start = SessionLog(status=SessionLog.START)
        self._board.write_event(Event(wall_time=time.time(), step=iteration + 1, session_log=start))
        self._rewrite([row for row in read_metrics(self.directory) if row["iteration"] <= iteration])

    def _show(self, iteration: int, row: dict[str, Any]) -> None:
        """Adds an event to TensorBoard's file."""
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "iteration" and value is not None
        ]
        self._board.write_event(Event(wall_time=time.time(), step=iteration, summary=Summary(value=values)))

    def _rewrite(self, rows: Iterable[dict[str, Any]]) -> None:
        self._metrics.close()
        write_atomically(self.directory / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        self._metrics = open(self.directory / "metrics.jsonl", "a")  # noqa: SIM115 -- see above

    def close(self) -> None:
        for file in (self._metrics, self._board):
            with contextlib.suppress(OSError):  # a full disk has been reported by the write that failed
                file.close()
        os.close(self._lock)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *_) -> None:
        self.close()


class SilentLog:
    """What a process has in place of a `RunLog` that another one writes."""

    def __init__(self, directory: Path):
        self.directory = directory

    def write_config(self, config: ExperimentConfig) -> None:
        """Left to the other process, as all that follows."""

    def log(self, rows: Iterable[dict[str, Any]]) -> None:
        pass

    def add_to_last(self, values: dict[str, Any]) -> None:
        pass

    def last_row_has(self, name: str) -> bool:
        """The first process's answer counts."""
        return True

    def truncate(self, iteration: int) -> None:
        pass

    def __enter__(self) -> "SilentLog":
        return self

    def __exit__(self, *_) -> None:
        pass


def has_checkpoint(directory: Path) -> bool:
    return any(path.name.isdigit() for path in (directory / "checkpoints" / "latest").glob("*"))


def has_not_begun(directory: Path) -> bool:
    """Whether a run ended there before its first checkpoint, so that there is nothing to lose."""
    begun = has_checkpoint(directory) or read_metrics(directory)
    return (directory / "config.json").is_file() and (directory / "run.lock").is_file() and not begun


def read_config(directory: Path) -> ExperimentConfig:
    """The configuration of an existing run; ConfigError where `directory` is not one, or made by another version."""
    path = directory / "config.json"
    if not path.is_file():
        raise ConfigError(f"{directory} is not a run directory: it has no config.json.")
    try:
        return config_lib.from_json(path.read_text(encoding="utf-8", errors="replace"))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; a last line cut short by a crash is left out."""
    path = directory / "metrics.jsonl"
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


@contextlib.contextmanager
def readable_errors(directory: Path, option: str = "--run-dir"):
    """Turns an operating-system error about a directory, which `option` names, into one readable line."""
    try:
        yield
    except OSError as error:
        what, kept = (
            ("the run directory ", "; the checkpoints already there are whole") if option == "--run-dir" else ("", "")
        )
        raise ConfigError(
            f"cannot write {what}{directory}: {error.strerror or error}. Free space, mend its permissions or choose another "
            f"{option}{kept}."
        ) from error


def _lock(directory: Path) -> int:
    """Holds the directory until the process ends; ConfigError where another one does."""
    handle = os.open(directory / "run.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):  # as on shared storage of clusters
            print(f"{directory} cannot be locked: see to it that no other process writes there", file=sys.stderr)
            return handle
        os.close(handle)
        if not isinstance(error, BlockingIOError):
            raise
        raise ConfigError(
            f"another process is writing {directory}: two runs into one directory are refused."
        ) from error
    return handle
