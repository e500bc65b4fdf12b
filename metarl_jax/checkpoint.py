"""Checkpoints: the whole RunState, written by orbax, which renames a finished directory into place."""

import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from .errors import ConfigError
from .types import RunState

logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax reports every save, and every failure twice


class Checkpoints:
    """The newest few checkpoints of a run, and the one with the highest score."""

    def __init__(self, directory: Path, keep: int):
        self._latest = ocp.CheckpointManager(
            (directory / "latest").absolute(),
            item_handlers=ocp.StandardCheckpointHandler(),
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False),
        )
        self._best = ocp.CheckpointManager(
            (directory / "best").absolute(),
            item_handlers=ocp.StandardCheckpointHandler(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=1,
                best_fn=lambda metrics: metrics["score"],
                best_mode="max",
                enable_async_checkpointing=False,
            ),
        )

    @property
    def latest_step(self) -> int | None:
        return self._latest.latest_step()

    def save(self, state: RunState, score: float | None) -> None:
        """Writes `state`; with a `score`, also as the best so far where it is. A step that is there already stays.

        Raises:
          OSError: it cannot be written; the checkpoints before it are whole.
        """
        step, saved = int(state.step), ocp.args.StandardSave(_saved(state))
        if step in self._latest.all_steps():
            return
        try:
            self._latest.save(step, args=saved)
            best = self._best.best_step()
            if score is not None and (best is None or score > self._best.metrics(best)["score"]):
                self._best.save(step, args=saved, metrics={"score": score})
        except (ValueError, RuntimeError) as error:  # which is what orbax makes of a full disk
            raise OSError(f"checkpoint {step} could not be written: {str(error).splitlines()[0]}") from error

    def restore(self, like: RunState, which: str = "latest") -> RunState:
        """The `latest` or the `best` state; `like` (shapes are enough) says what it must look like.

        Raises:
          ConfigError: there is none, or it belongs to another configuration.
        """
        manager = self._latest if which == "latest" else self._best
        step = manager.latest_step()
        if step is None:
            raise ConfigError(f"no checkpoint in {manager.directory}: nothing to resume or evaluate.")
        wanted = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in _saved(like).items()}
        there = {name: tuple(getattr(x, "shape", ())) for name, x in manager.item_metadata(step).items()}
        if wrong := sorted(n for n in wanted | there if n not in wanted or there.get(n) != wanted[n].shape):
            raise ConfigError(
                f"checkpoint {step} in {manager.directory} does not fit this configuration: {wrong[0]} is "
                f"{there.get(wrong[0], 'absent')} there and {wanted[wrong[0]].shape if wrong[0] in wanted else 'absent'} here."
            )
        saved = manager.restore(step, args=ocp.args.StandardRestore(wanted))
        leaves, treedef = jax.tree.flatten_with_path(like)
        return treedef.unflatten(
            saved.get(jax.tree_util.keystr(path), jnp.zeros(x.shape, x.dtype)) for path, x in leaves
        )

    def close(self) -> None:
        self._latest.close()
        self._best.close()


def _saved(state: RunState) -> dict[str, jax.Array]:
    """The leaves by name, but those without elements, which orbax refuses to write."""
    return {jax.tree_util.keystr(path): x for path, x in jax.tree.leaves_with_path(state) if x.size > 0}
