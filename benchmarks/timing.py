"""Wall-clock time of programs that are compared."""

import time
from collections.abc import Callable, Mapping
from typing import Any


def in_turn(runs: Mapping[Any, Callable[[], Any]], repeats: int) -> dict[Any, list[float]]:
    """Seconds `[repeats]` of each, timed in turn, so that a change in the machine's speed meets all; one more warms up."""
    seconds: dict[Any, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds
