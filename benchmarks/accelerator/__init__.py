"""What a GPU gives, in a few minutes: `metarl bench accelerator --out DIR --minutes 8`.

Every part is a process of its own with a limit of time; a part that fails leaves its error in its row, and the others go on.
Parts come in order of importance, and those for which no time is left say so. Columns:
  part             kernels: Warp's kernels compiled, on all cores; right: against C MuJoCo and the CPU;
                   stepping: environment steps per second, random actions; result: training to a success of 0.9; training:
                   environment steps per second, learning included; trace: the heaviest parts of one iteration
  what             environment or preset, physics, and what else there is to say
  worlds           environments at the same time
  value, unit      what was measured
  bar, met         what it is to reach, and whether it does
  compile_seconds  to trace and compile, with what caches of compiled programs hold
  memory_mib       of the device in use afterwards, by this and others: JAX, Warp, CUDA itself
  note             sizes; or why there is no value
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from .. import isolated
from . import card
from .plan import Part, parts

MINUTES = 8.0
COLUMNS = ("part", "what", "worlds", "value", "unit", "bar", "met", "compile_seconds", "memory_mib", "note")
_LEAST = 5.0  # seconds below which no part begins
_CHILD = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # Warp takes its share of the memory beside JAX
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
}

Row = dict[str, Any]


def machine() -> str:
    """In words, from a process of its own."""
    return isolated.call(card.machine)


def measure(minutes: float, tell: Callable[[list[Row]], None], out: Path | None) -> None:
    """All rows, told whenever there is one more.

    Args:
      minutes: to keep to.
      tell: is given all rows so far.
      out: where the trace of an iteration is kept.
    """
    end = time.monotonic() + 60.0 * minutes
    rows: dict[tuple, Row] = {}

    def add(row: Row) -> None:
        whole = dict.fromkeys(COLUMNS) | row
        rows[whole["part"], whole["what"], whole["worlds"]] = _judged(whole)
        print(_line(whole), flush=True)
        tell(list(rows.values()))

    platform = isolated.call(card.platform)
    scratch = out if out is not None else Path(os.curdir)
    beside: list[tuple[Part, Future[list[Row]]]] = []
    with ThreadPoolExecutor() as pool:
        for part in parts(platform, str(scratch.resolve())):
            if part.waits:
                for other, future in beside:
                    for row in future.result():
                        add({"part": other.name} | row)
                beside.clear()
            left = end - time.monotonic()
            if left < max(_LEAST, part.least):
                add({"part": part.name, "what": part.what, "note": "skipped: out of time"})
            elif part.beside:
                beside.append((part, pool.submit(lambda *args: list(_rows(*args)), part, min(left, part.seconds))))
            else:
                for row in _rows(part, min(left, part.seconds)):
                    add({"part": part.name} | row)


def _rows(part: Part, seconds: float) -> Iterator[Row]:
    """Of one part; where it fails, the last is its error."""
    environment = _CHILD | _cache() | part.environment
    try:
        yield from isolated.stream(
            f"{__name__}.{part.function}", *part.arguments, seconds=seconds, environment=environment
        )
    except isolated.Failed as failure:
        yield {"what": part.what, "note": f"failed: {failure}"}


def _cache() -> dict[str, str]:
    """Where this process keeps compiled programs, for those of all parts."""
    directory = jax.config.jax_compilation_cache_dir
    return {"JAX_COMPILATION_CACHE_DIR": directory} if directory else {}


def _judged(row: Row) -> Row:
    """With `met`, where there is a bar: "at least X" or "at most X" of the row's unit."""
    if row["bar"] is None:
        return row
    (sense, limit), value = row["bar"], row["value"]
    met = None if value is None else value >= limit if sense == "at least" else value <= limit
    return row | {"bar": f"{sense} {limit:g}", "met": None if met is None else "yes" if met else "no"}


def _line(row: Row) -> str:
    value = "-" if row["value"] is None else f"{row['value']:,.4g} {row['unit']}"
    worlds = f", {row['worlds']} worlds" if row["worlds"] else ""
    return f"{row['part']}: {row['what']}{worlds}: {value}  {row['note'] or ''}"
