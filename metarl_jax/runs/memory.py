"""Whether several runs fit into memory together."""

from typing import Any

import jax
from jax.sharding import Mesh

from ..errors import ConfigError
from ..replay import Replay, num_bytes
from ..types import RunState


class TooLarge(RuntimeError):
    """Several seeds do not fit into memory together."""


def check_replay(state: RunState, num_runs: int, mesh: Mesh) -> None:
    """ConfigError where the replay of the runs takes more memory than there is; `state` are the shapes of one of them."""
    replays = [x for x in jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, Replay)) if isinstance(x, Replay)]
    free = free_bytes()
    if free is None or not replays:
        return
    free *= 1 if jax.default_backend() == "cpu" else mesh.size  # the CPU's devices share its memory
    leaves = jax.tree.leaves(replays[0].rows)
    rows, size = leaves[0].shape[0] * leaves[0].shape[1], num_bytes(leaves)
    if num_runs * size > free:
        of_runs = f" of each of {num_runs} runs" * (num_runs > 1)
        raise ConfigError(
            f"the replay{of_runs} takes {size / 2**30:.1f} GiB, {size // rows} bytes for each of {rows:,} steps, and "
            f"{free / 2**30:.1f} GiB are free: lower --algorithm.capacity."
        )


def check_memory(analysis: Any, num_runs: int, mesh: Mesh) -> None:
    """TooLarge where several runs together need more memory than there is; `analysis` is XLA's of their program."""
    free = free_bytes()
    if num_runs == 1 or analysis is None or free is None:
        return
    # Of a device; arguments are donated to the output.
    needed = analysis.temp_size_in_bytes + analysis.output_size_in_bytes
    if jax.default_backend() == "cpu":
        needed *= mesh.size  # which share it
    if needed > free:
        raise TooLarge(
            f"{num_runs} seeds in one program need {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"
        )


def free_bytes() -> int | None:
    """Memory of the device that nothing uses, None where nobody says."""
    if stats := jax.local_devices()[0].memory_stats():
        return stats["bytes_limit"] - stats["bytes_in_use"]
    try:
        with open("/proc/meminfo") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
