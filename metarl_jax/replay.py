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


def sample(replay: Replay, key: Key, count: int, group: int = 1) -> tuple[Array, Any]:
    """Rows drawn uniformly: `count` of every `group` tasks that follow each other, each of one of them, which must have one.

    Returns:
      Task of each row `[N / group, count]`, and the rows, `[N / group, count, ...]`.
    """
    num_tasks = len(replay.filled)
    if num_tasks % group:
        raise ValueError(f"{num_tasks} tasks cannot be split into groups of {group}.")
    keys, first = jax.random.split(key, num_tasks // group), jnp.arange(0, num_tasks, group)
    grouped = jax.tree.map(lambda x: x.reshape(-1, group, *x.shape[1:]), (replay.rows, replay.filled))

    def of_group(rows: Any, filled: Array, first: Array, key: Key) -> tuple[Array, Any]:
        key_task, key_slot = jax.random.split(key)
        task = jax.random.randint(key_task, (count,), 0, group)
        slot = jax.random.randint(key_slot, (count,), 0, filled[task])
        return first + task, jax.tree.map(lambda x: x[task, slot], rows)

    return sharding.over_tasks(jax.vmap(of_group))(*grouped, first, keys)


def num_bytes(rows: Any) -> int:
    """What they take; shapes are enough."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(rows))


def _pairs(rows: Any, new: Any) -> list[tuple[Array, Array]]:
    return list(zip(jax.tree.leaves(rows), jax.tree.leaves(new), strict=True))
