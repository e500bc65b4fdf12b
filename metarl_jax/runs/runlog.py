"""The run directory: what a run leaves behind, and the contract with whoever reads it.

config.json      the whole configuration       metrics.jsonl   one object per iteration
summary.json     the outcome                   tensorboard/    the same metrics as events
checkpoints/     see checkpoint.py             eval/*.json     adaptation curves
plots/           learning.png, adaptation-*.png, video-*.mp4
trackers.json    what Weights & Biases and MLflow call the run, where they are told of it

Where a file is damaged, another tells the same: of config.json a copy in checkpoints/, of metrics.jsonl TensorBoard's events.
"""

import contextlib
import errno
import fcntl
import json
import os
import resource
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .. import config as config_lib
from ..config import ExperimentConfig, OtherVersion, changed_fields
from ..errors import ConfigError
from . import metrics
from .board import Board
from .files import write_atomically
from .metrics import read_metrics
from .trackers import Trackers

MAY_CHANGE = {"iterations", "schedule_iterations", "physics"}  # fields of a run's configuration, when it is resumed
_COPY = Path("checkpoints", "config.json")  # without its configuration a run could not go on
MANIFEST = "sha256.json"  # of a checkpoint: the digests of its files by name, written last


class RunLog:
    """Writes a run directory; one process at a time. Use as a context manager."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._lock = _lock(directory)
        self._board = Board(directory / "tensorboard")
        self._trackers: Trackers | None = None

    @classmethod
    def create(cls, directory: Path, config: ExperimentConfig) -> "RunLog":
        """A new run; ConfigError where `directory` holds anything but a run that has not begun, or cannot be written."""
        check_unused(directory)
        with readable_errors(directory):
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
            raise ConfigError(
                f"{directory} has no checkpoint to resume from that is whole: begin anew in another --run-dir."
            )
        with readable_errors(directory):
            return cls(directory)

    def track(self, kinds: Sequence[str], config: ExperimentConfig) -> None:
        """Tells trackers of the run, too (see trackers.py)."""
        self._trackers = Trackers(kinds, self.directory, config)

    def write_config(self, config: ExperimentConfig) -> None:
        for name in ("config.json", _COPY):
            write_atomically(self.directory / name, config_lib.to_json(config))

    def log(self, rows: Iterable[dict[str, Any]]) -> None:
        """Appends one row per iteration; `iteration` is its place in TensorBoard."""
        rows = list(rows)
        with open(metrics.path_in(self.directory), "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        for row in rows:
            self._show(row["iteration"], row)
        self._flush()

    def add_to_last(self, values: dict[str, Any]) -> None:
        """Adds to the last row what became known of its iteration later."""
        *rows, last = read_metrics(self.directory)
        self._rewrite([*rows, last | values])
        self._show(last["iteration"], values)
        self._flush()

    def last_row_has(self, name: str) -> bool:
        rows = read_metrics(self.directory)
        return bool(rows) and name in rows[-1]

    def mend(self, iteration: int, env_steps: int) -> None:
        """Makes the rows up to `iteration` whole, after a word about those that were not; an iteration has `env_steps`."""
        rows, complaint = metrics.mend(self.directory, iteration, env_steps)
        if complaint:
            print(complaint, file=sys.stderr)
        self._rewrite(rows)

    def truncate(self, iteration: int) -> None:
        """Forgets the rows after `iteration`, which are about to be run again; TensorBoard is told to do so too."""
        self._board.restart(iteration + 1)
        self._board.flush()
        self._rewrite([row for row in read_metrics(self.directory) if row["iteration"] <= iteration])

    def _show(self, iteration: int, row: dict[str, Any]) -> None:
        """Tells TensorBoard's file, and the trackers."""
        values = {name: x for name, x in row.items() if name != "iteration" and x is not None}
        self._board.add(iteration, values)
        if self._trackers:
            self._trackers.add(iteration, values)

    def _flush(self) -> None:
        self._board.flush()
        if self._trackers:
            self._trackers.flush()

    def _rewrite(self, rows: Iterable[dict[str, Any]]) -> None:
        write_atomically(metrics.path_in(self.directory), "".join(json.dumps(row) + "\n" for row in rows))

    def close(self, failed: bool = False) -> None:
        if self._trackers:
            self._trackers.close(failed)
        os.close(self._lock)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        self.close(failed=kind is not None and issubclass(kind, Exception))  # as an interruption is not


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

    def mend(self, iteration: int, env_steps: int) -> None:
        pass

    def truncate(self, iteration: int) -> None:
        pass

    def __enter__(self) -> "SilentLog":
        return self

    def __exit__(self, *_) -> None:
        pass


def check_unused(directory: Path) -> None:
    """ConfigError where `directory` holds anything but a run that has not begun."""
    with readable_errors(directory):
        empty = not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))
        if not empty and not has_not_begun(directory):
            raise ConfigError(
                f"{directory} exists and is not empty: choose another --run-dir, or continue it with --resume {directory}."
            )


def check_open_files(num_runs: int) -> None:
    """ConfigError unless this process may hold the locks of so many runs; raises its own limit as far as that takes."""
    needed = num_runs + 256  # for all else
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (2**63 if limit == resource.RLIM_INFINITY else limit for limit in (soft, hard))
    if needed > hard:
        raise ConfigError(
            f"--seeds: {num_runs} runs in one program need {needed} open files, of which the system allows {hard}: take fewer "
            "seeds at once, or a process for each (metarl sweep)."
        )
    if needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def has_checkpoint(directory: Path) -> bool:
    """Whether one was ever finished, be it damaged or not."""
    finished = (directory / "checkpoints").glob(f"*/[0-9]*/{MANIFEST}")
    return any(path.parent.parent.name in ("latest", "best") for path in finished)


def has_not_begun(directory: Path) -> bool:
    """Whether a run ended there before its first checkpoint, so that there is nothing to lose."""
    rows = metrics.path_in(directory)
    begun = has_checkpoint(directory) or (rows.exists() and rows.stat().st_size > 0)
    return (directory / "run.lock").is_file() and not begun


def read_config(directory: Path) -> ExperimentConfig:
    """The configuration of an existing run; ConfigError where `directory` is not one, or made by another version.

    Where config.json is lost or damaged, after a word, that of its copy.
    """
    path, copy = directory / "config.json", directory / _COPY
    try:
        return _read_config(path)
    except OtherVersion:
        raise  # as that of its copy would be
    except ConfigError as error:
        with contextlib.suppress(ConfigError):
            config = _read_config(copy)
            print(f"{path} is missing or damaged: its copy {copy} is used", file=sys.stderr)
            return config
        raise error


def read_config_to_resume(directory: Path) -> ExperimentConfig:
    """As `read_config`; ConfigError where something has changed in the file since the run wrote it, beside its length."""
    config, copy = read_config(directory), directory / _COPY
    try:
        changed = changed_fields(_read_config(copy), config)
    except ConfigError:
        return config  # there is nothing to compare with
    if others := [name for name in changed if name not in MAY_CHANGE]:
        raise ConfigError(
            f"{directory / 'config.json'} and its copy {copy} differ in {', '.join(others)}: put the one that is right in the "
            "other's place."
        )
    return config


def _read_config(path: Path) -> ExperimentConfig:
    try:
        if not path.is_file():
            hint = f"; it has not begun: begin it with --run-dir {path.parent}" if has_not_begun(path.parent) else ""
            raise ConfigError(f"{path.parent} is not a run directory: it has no config.json{hint}.")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return config_lib.from_json(text)
    except ConfigError as error:
        raise type(error)(f"{path}: {error}") from error


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
