"""Checkpoints: the whole RunState, written by orbax, which renames a finished directory into place.

Each holds the SHA-256 of its files, so that one that was damaged later is noticed, named, and the one before it used.
"""

import hashlib
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding

from .. import sharding
from ..errors import ConfigError
from ..types import RunState
from .runlog import write_atomically

logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax reports every save, and every failure twice

_SUMS = "sha256.json"  # digests of a checkpoint's files by name
_ADVICE = {"latest": "begin anew in another --run-dir", "best": "use --checkpoint latest"}


class Checkpoints:
    """The newest few checkpoints of a run, and the one with the highest score."""

    def __init__(self, directory: Path, keep: int):
        self._directory = directory.absolute()
        best: dict[str, Any] = {"max_to_keep": 1, "best_fn": _score, "best_mode": "max"}
        self._options = {"latest": {"max_to_keep": keep}, "best": best}
        self._managers: dict[str, ocp.CheckpointManager] = {}

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
            if not self._manager(which).save(step, metrics=metrics, args=ocp.args.StandardSave(_saved(state))):
                return  # there is a later one, of before a resume
        except (ValueError, RuntimeError) as error:  # which is what orbax makes of a full disk
            if sharding.is_loss_of_process(error):
                raise
            raise OSError(f"checkpoint {step} could not be written: {str(error).splitlines()[0]}") from error
        if jax.process_index() > 0:
            return  # the first process sums up what all of them wrote
        directory = self._directory / which / str(step)
        sums = {str(path.relative_to(directory)): _digest(path) for path in directory.rglob("*") if path.is_file()}
        write_atomically(directory / _SUMS, json.dumps(sums, indent=2))

    def resume(self, like: RunState) -> RunState:
        """As `restore`, to go on from. Damaged checkpoints make way for new ones (`corrupt-latest-4` and the like), and so does
        a best one that the run has not come to yet: what follows is not what led there (`abandoned-best-4`).
        """
        state = self.restore(like)
        for path in self._directory.glob("*/*") if jax.process_index() == 0 else ():
            if path.name.isdigit() and _damage(path):
                self._set_aside(path, "corrupt")
            elif path.parent.name == "best" and path.name.isdigit() and int(path.name) > int(state.step):
                self._set_aside(path, "abandoned")
        sharding.largest(0)  # the other processes wait
        for manager in self._managers.values():
            manager.reload()
        return state

    def _set_aside(self, checkpoint: Path, why: str) -> None:
        aside = self._directory / f"{why}-{checkpoint.parent.name}-{checkpoint.name}"
        shutil.rmtree(aside, ignore_errors=True)  # where that has happened to the same step before
        checkpoint.rename(aside)

    def restore(self, like: RunState, which: str = "latest") -> RunState:
        """The `latest` or the `best` state that is whole; `like` (shapes are enough) says what it must look like.

        Raises:
          ConfigError: there is none, or it belongs to another configuration.
        """
        directory = self._directory / which
        step = _newest_whole(directory)
        manager = self._manager(which)
        wanted = {name: _described(x) for name, x in _saved(like).items()}
        there = {name: tuple(getattr(x, "shape", ())) for name, x in manager.item_metadata(step).items()}
        if wrong := sorted(n for n in wanted | there if n not in wanted or there.get(n) != wanted[n].shape):
            raise ConfigError(
                f"checkpoint {step} in {directory} does not fit this configuration: {wrong[0]} is "
                f"{there.get(wrong[0], 'absent')} there and {wanted[wrong[0]].shape if wrong[0] in wanted else 'absent'} here."
            )
        saved = manager.restore(step, args=ocp.args.StandardRestore(wanted))
        leaves, treedef = jax.tree.flatten_with_path(like)
        values = [saved.get(jax.tree_util.keystr(path), jnp.zeros(x.shape, x.dtype)) for path, x in leaves]
        return jax.tree.unflatten(treedef, values)

    def close(self) -> None:
        for manager in self._managers.values():
            manager.close()


def _score(metrics: dict[str, list[float]]) -> tuple[float, ...]:
    return tuple(metrics["score"])


def _described(x: jax.Array | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Shape, type, and where it is to lie: as `x` does, else on one device, wherever the run was saved."""
    here = x.sharding if isinstance(x, jax.Array) else SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here)


def _newest_whole(directory: Path) -> int:
    """The step of the newest checkpoint that is whole, after a word about those that are not; ConfigError without one."""
    steps = sorted((int(path.name) for path in directory.glob("*") if path.name.isdigit()), reverse=True)
    if not steps:
        raise ConfigError(f"no checkpoint in {directory}: nothing to resume or evaluate.")
    damaged: list[str] = []
    for step in steps:
        damage = _damage(directory / str(step))
        if damage is None:
            for words in damaged:
                print(f"{words}; using checkpoint {step}", file=sys.stderr)
            return step
        damaged.append(f"checkpoint {step} in {directory} is damaged: {damage}")
    raise ConfigError(f"{damaged[0]}, and no other one there is whole: {_ADVICE[directory.name]}.")


def _damage(checkpoint: Path) -> str | None:
    """How it differs from what was written, if it does; without digests (as before version 0.2) it passes for whole."""
    if not (checkpoint / _SUMS).exists():
        return None
    try:
        sums = json.loads((checkpoint / _SUMS).read_text())
    except ValueError:
        return f"{_SUMS} cannot be read"
    for name, digest in sums.items():
        if not (checkpoint / name).is_file():
            return f"{name} is missing"
        if _digest(checkpoint / name) != digest:
            return f"{name} has changed"
    return None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _saved(state: RunState) -> dict[str, jax.Array]:
    """The leaves by name, but those without elements, which orbax refuses to write."""
    return {jax.tree_util.keystr(path): x for path, x in jax.tree.leaves_with_path(state) if x.size > 0}
