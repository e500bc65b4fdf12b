"""Checkpoints: the whole RunState, written by orbax, which renames a finished directory into place.

Each holds the SHA-256 of its files, written last: one without it was not finished. One that was damaged later is noticed, named,
and the one before it used, or where there is none the best.
"""

import hashlib
import itertools
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding

from .. import sharding
from ..errors import ConfigError
from ..types import RunState
from .files import read_json, write_atomically
from .runlog import MANIFEST

logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax reports every save, and every failure twice

_UNFINISHED = ".orbax-checkpoint-tmp"  # in names of directories that orbax did not come to rename, and removes
_ADVICE = {"latest": "begin anew in another --run-dir", "best": "use --checkpoint latest"}


class Found(NamedTuple):
    """A whole checkpoint."""

    which: str  # "latest" or "best"
    step: int


class Checkpoints:
    """The newest few checkpoints of a run, and the one with the highest score."""

    def __init__(self, directory: Path, keep: int, checkpointed: Callable[[RunState], RunState] = lambda state: state):
        self._directory = directory.absolute()
        self._checkpointed = checkpointed  # see `Algorithm`
        best: dict[str, Any] = {"max_to_keep": 1, "best_fn": _score, "best_mode": "max"}
        self._options = {"latest": {"max_to_keep": keep}, "best": best}
        self._managers: dict[str, ocp.CheckpointManager] = {}
        self._said: set[str] = set()  # what is wrong there is told once
        self._looked_at: dict[Path, tuple[Any, str | None]] = {}  # see `_damage`

    def _manager(self, which: str) -> ocp.CheckpointManager:
        if which not in self._managers:  # made when needed: it stumbles over damaged scores
            self._managers[which] = ocp.CheckpointManager(
                self._directory / which,
                item_handlers=ocp.StandardCheckpointHandler(),
                options=ocp.CheckpointManagerOptions(enable_async_checkpointing=False, **self._options[which]),
            )
        return self._managers[which]

    @property
    def latest_step(self) -> int | None:
        return self._manager("latest").latest_step()

    def save(self, state: RunState) -> None:
        """Writes `state` as the latest. A step that is there already stays.

        Raises:
          OSError: it cannot be written; the checkpoints before it are whole.
        """
        if int(state.step) not in self._manager("latest").all_steps():
            self._write("latest", state)

    def save_if_best(self, state: RunState, score: tuple[float, ...]) -> None:
        """Writes `state` as the best one where its `score` is the highest so far: its first number, or where these are equal
        the next. Raises OSError as `save` does.
        """
        best = self._manager("best")
        highest = best.best_step()
        if highest is None or score > _score(best.metrics(highest)):
            self._write("best", state, {"score": score})

    def _write(self, which: str, state: RunState, metrics: dict[str, Any] | None = None) -> None:
        step = int(state.step)
        try:
            if not self._manager(which).save(step, metrics=metrics, args=ocp.args.StandardSave(self._saved(state))):
                return  # there is a later one, of before a resume
        except (ValueError, RuntimeError) as error:  # which is what orbax makes of a full disk
            if sharding.is_loss_of_process(error):
                raise
            raise OSError(f"checkpoint {step} could not be written: {str(error).splitlines()[0]}") from error
        if jax.process_index() > 0:
            return  # the first process sums up what all of them wrote
        directory = self._directory / which / str(step)
        sums = {str(path.relative_to(directory)): _digest(path) for path in directory.rglob("*") if path.is_file()}
        write_atomically(directory / MANIFEST, json.dumps(sums, indent=2))

    def settle(self, like: RunState) -> int | None:
        """The step that a run goes on from, None where it has not begun; before anything is written, or compiled.

        What is not whole makes way for what will be (`corrupt-latest-4` and the like), and so does a best checkpoint that the
        run has not come to yet: what follows is not what led there (`abandoned-best-4`). Nothing moves where it is refused.

        Raises:
          ConfigError: no checkpoint is whole, or it does not look like `like` (shapes are enough).
        """
        entries = [*self._entries("latest"), *self._entries("best")]
        found = self._newest("latest") if any((path / MANIFEST).exists() for path in entries) else None
        if found:
            self._check_fits(found, like)
        sharding.largest(0)  # all processes have looked
        for path in entries if sharding.is_first_process() else ():
            if _step(path) is None:
                continue  # it stands in nobody's way
            if self._damage(path):
                self._set_aside(path, "corrupt")
            elif found and path.parent.name == "best" and int(path.name) > found.step:
                self._set_aside(path, "abandoned")
        sharding.largest(0)  # the other processes wait
        for manager in self._managers.values():
            manager.reload()
        return found.step if found else None

    def _damage(self, path: Path) -> str | None:
        """See `damage`. States may be large: one is read once, and again where anything has happened to its files since."""
        seen = _traces(path)
        if path not in self._looked_at or self._looked_at[path][0] != seen:
            self._looked_at[path] = seen, damage(path)
        return self._looked_at[path][1]

    def _set_aside(self, path: Path, why: str) -> None:
        """Nothing is removed: the first name that is free."""
        name = f"{why}-{path.parent.name}-{path.name}"
        names = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
        path.rename(next(self._directory / n for n in names if not (self._directory / n).exists()))

    def resume(self, like: RunState) -> RunState:
        """As `restore`, to go on from; what is best alone is the latest from then on."""
        self.settle(like)
        state = self.restore(like)
        self.save(state)
        return state

    def restore(self, like: RunState, which: str = "latest") -> RunState:
        """The `latest` state that is whole, or the `best`, which is also the last resort; `like` (shapes are enough) says what it
        must look like.

        Raises:
          ConfigError: there is none, or it belongs to another configuration.
        """
        found = self._newest(which)
        self._check_fits(found, like)
        wanted = {name: _described(x) for name, x in self._saved(like).items()}
        saved = _reader().restore(self._path(found) / "default", args=ocp.args.StandardRestore(wanted))
        leaves, treedef = jax.tree.flatten_with_path(like)
        values = [saved.get(jax.tree_util.keystr(path), jnp.zeros(x.shape, x.dtype)) for path, x in leaves]
        return jax.tree.unflatten(treedef, values)

    def _saved(self, state: RunState) -> dict[str, jax.Array]:
        """The leaves by name, but those without elements, which orbax refuses to write."""
        leaves = jax.tree.leaves_with_path(self._checkpointed(state))
        return {jax.tree_util.keystr(path): x for path, x in leaves if x.size > 0}

    def _entries(self, which: str) -> list[Path]:
        """What lies there: first what is no checkpoint, then from the newest to the oldest."""
        entries = [path for path in (self._directory / which).glob("*") if not path.name.startswith(".")]
        entries = [path for path in entries if _UNFINISHED not in path.name]
        return sorted(entries, key=lambda path: (_step(path) is not None, -(_step(path) or 0)))

    def _path(self, found: Found) -> Path:
        return self._directory / found.which / str(found.step)

    def _check_fits(self, found: Found, like: RunState) -> None:
        wanted = {name: x.shape for name, x in self._saved(like).items()}
        there = {name: tuple(x.shape) for name, x in _contents(self._path(found)).items()}
        if wrong := sorted(name for name in wanted | there if wanted.get(name) != there.get(name)):
            name = wrong[0]
            raise ConfigError(
                f"checkpoint {found.step} in {self._path(found).parent} does not fit this configuration: {name} is "
                f"{there.get(name, 'absent')} there and {wanted.get(name, 'absent')} here."
            )

    def _newest(self, which: str) -> Found:
        """The newest whole one, after a word about everything there that is none."""
        directory = self._directory / which
        complaints: list[str] = []
        for path in self._entries(which):
            wrong = self._damage(path)
            if wrong is None:
                return self._tell(complaints, Found(which, int(path.name)), f"checkpoint {path.name}")
            complaints.append(f"{_name(path)} in {directory} {wrong}")
        first = complaints[0] if complaints else f"no checkpoint in {directory}"
        for path in self._entries("best") if which == "latest" else ():
            if self._damage(path) is None:
                return self._tell(
                    complaints or [first], Found("best", int(path.name)), f"the best one, checkpoint {path.name}"
                )
        if not complaints:
            raise ConfigError(f"{first}: nothing to resume or evaluate.")
        raise ConfigError(f"{first}, and no other one there is whole: {_ADVICE[which]}.")

    def _tell(self, complaints: list[str], found: Found, what: str) -> Found:
        for complaint in complaints if sharding.is_first_process() else ():
            if complaint not in self._said:
                print(f"{complaint}; using {what}", file=sys.stderr)
        self._said.update(complaints)
        return found

    def close(self) -> None:
        for manager in self._managers.values():
            manager.close()


def _score(metrics: dict[str, list[float]]) -> tuple[float, ...]:
    return tuple(metrics["score"])


def _described(x: jax.Array | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Shape, type, and where it is to lie: as `x` does, else on one device, wherever the run was saved."""
    here = x.sharding if isinstance(x, jax.Array) else SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here)


def _step(path: Path) -> int | None:
    """The step that a checkpoint's name says, None where it is not the name of one."""
    return int(path.name) if path.name.isascii() and path.name.isdigit() and str(int(path.name)) == path.name else None


def _name(path: Path) -> str:
    return f"checkpoint {path.name}" if path.is_dir() and _step(path) is not None else path.name


def _traces(path: Path) -> list[tuple[str, int, int, int]]:
    """What changes with anything that happens to what lies there: each entry's place, size and time of its last change."""
    entries = [(str(entry), entry.lstat()) for entry in sorted([path, *path.rglob("*")])]
    return [(name, about.st_ino, about.st_size, about.st_ctime_ns) for name, about in entries]


def damage(path: Path) -> str | None:
    """What is to be said of a directory's entry that is not a checkpoint as it was written."""
    if _step(path) is None or not path.is_dir():
        return "is no checkpoint"
    if not (path / MANIFEST).exists():
        return f"is damaged: {MANIFEST} is missing"
    try:
        sums = read_json(path / MANIFEST, dict[str, str])
    except ConfigError:
        return f"is damaged: {MANIFEST} cannot be read"
    there = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()} - {MANIFEST}
    unknown = sorted(name for name in there - set(sums) if not Path(name).name.startswith("."))
    if unknown or not sums:
        return f"is damaged: {MANIFEST} does not name {unknown[0] if unknown else 'a file'}"
    for name, digest in sums.items():
        if name not in there:
            return f"is damaged: {name} is missing"
        if _digest(path / name) != digest:
            return f"is damaged: {name} has changed"
    inside = _step_inside(path)
    return None if inside == _step(path) else f"is a copy of checkpoint {inside}"


def _step_inside(checkpoint: Path) -> int:
    """The step of the state that was saved; read by one process of several, where a Checkpointer would wait for the others."""
    name, number = ".step", ocp.RestoreArgs(restore_type=int)
    args = ocp.args.PyTreeRestore({name: 0}, restore_args={name: number}, partial_restore=True)
    return int(ocp.PyTreeCheckpointHandler().restore(checkpoint / "default", args=args)[name])


def _reader() -> ocp.Checkpointer:
    """Reads one checkpoint, whatever else lies beside it."""
    return ocp.Checkpointer(ocp.StandardCheckpointHandler())


def _contents(checkpoint: Path) -> dict[str, Any]:
    """Descriptions of what was saved, by name."""
    return dict(_reader().metadata(checkpoint / "default").item_metadata.tree)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
