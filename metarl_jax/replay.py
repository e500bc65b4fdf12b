"""Experience kept on the device: for each task a ring of rows, the oldest of which are overwritten.

A replay lives in `Kept.by_task`: donated from one iteration to the next, so that it is never copied, split over devices as
tasks are, and part of every checkpoint.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from . import sharding
from .types import Array, Key


class Replay(NamedTuple):
    """N rings of C slots."""

    rows: Any  # pytree, leaves [N, C, ...]
    position: Array  # [N] int: the slot that is written next
    filled: Array  # [N] int: slots that hold a row


def init(row: Any, num_tasks: int, capacity: int) -> Replay:
    """Empty rings for rows like `row`, a pytree of arrays without leading axes."""
    rows = jax.tree.map(lambda x: jnp.zeros((num_tasks, capacity, *x.shape), x.dtype), row)
    return sharding.split_tasks(Replay(rows, jnp.zeros(num_tasks, int), jnp.zeros(num_tasks, int)))


def add(replay: Replay, rows: Any) -> Replay:
    """Writes `rows` `[N, B, ...]`, the latest last; B must divide the capacity C, as it does of every call."""
    (capacity, count), *_ = {(kept.shape[1], new.shape[1]) for kept, new in _pairs(replay.rows, rows)}
    if capacity % count:
        raise ValueError(f"a ring of {capacity} slots cannot be written {count} at a time: take a multiple.")
    # Whole blocks, one for each task: a scatter of single rows would be a loop over them on CPU.
    write = jax.vmap(lambda kept, new, at: jax.lax.dynamic_update_slice_in_dim(kept, new, at, 0))
    rows = jax.tree.map(lambda kept, new: sharding.over_tasks(write)(kept, new, replay.position), replay.rows, rows)
    return Replay(rows, (replay.position + count) % capacity, jnp.minimum(replay.filled + count, capacity))


def sample(replay: Replay, key: Key, count: int, which: Array | None = None) -> Any:
    """Rows drawn uniformly from those that a task has; it must have one.

    Args:
      replay: of N tasks.
      key: of the draws.
      count: rows of each task that is drawn from.
      which: `[G]` int, for each of G groups of N/G tasks that follow each other, which of them is drawn from; all tasks are
        where left out.

    Returns:
      Rows `[G, count, ...]`; `[N, count, ...]` without groups.
    """
    num_tasks = len(replay.filled)
    which = jnp.zeros(num_tasks, int) if which is None else which
    keys = jax.random.split(key, len(which))
    groups = jax.tree.map(lambda x: x.reshape(len(which), -1, *x.shape[1:]), (replay.rows, replay.filled))

    def of_group(rows: Any, filled: Array, which: Array, key: Key) -> Any:
        slots = jax.random.randint(key, (count,), 0, filled[which])
        return jax.tree.map(lambda x: x[which, slots], rows)

    return sharding.over_tasks(jax.vmap(of_group))(*groups, which, keys)


def choose(key: Key, num_tasks: int, count: int) -> tuple[Array, Array]:
    """One task of each of `count` groups of N/count that follow each other: `which` of a group, and the task, `[count]` int."""
    size = num_tasks // count
    which = jax.random.randint(key, (count,), 0, size)
    return which, jnp.arange(0, num_tasks, size) + which


def num_bytes(rows: Any) -> int:
    """What they take; shapes are enough."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(rows))


def _pairs(rows: Any, new: Any) -> list[tuple[Array, Array]]:
    return list(zip(jax.tree.leaves(rows), jax.tree.leaves(new), strict=True))
