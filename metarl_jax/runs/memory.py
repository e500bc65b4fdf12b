"""Whether several runs fit into memory together."""

from typing import Any

import jax
from jax.sharding import Mesh


class TooLarge(RuntimeError):
    """Several seeds do not fit into memory together."""


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
