"""Where the time of one iteration goes: the profiler's events, summed by name."""

import dataclasses
import gzip
import json
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from ... import presets
from ..meta_iteration import MetaIteration
from .training import shortened

FILE = "accelerator-trace.json.gz"
HORIZON, HEAVIEST, MOST_BYTES = 20, 5, 12 * 2**20


def heaviest(preset: str, physics: str, scale: int, directory: str, horizon: int = HORIZON) -> Iterator[dict[str, Any]]:
    """A row for each of the heaviest parts: its share of the device's busy time.

    Args:
      preset: its name.
      physics: backend.
      scale: see `presets.scaled`.
      directory: gets the trace, unless it is large.
      horizon: steps per episode: a trace holds every kernel.
    """
    config = shortened(presets.scaled(presets.PRESETS[preset].config, scale), horizon)
    iteration = MetaIteration(dataclasses.replace(config, physics=physics))
    iteration()
    with tempfile.TemporaryDirectory() as place:
        with jax.profiler.trace(place):
            iteration()
        (path,) = Path(place).rglob("*.trace.json.gz")
        if path.stat().st_size <= MOST_BYTES:
            shutil.copy(path, Path(directory) / FILE)
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    times, counts = busy(events)
    total = sum(times.values())
    worlds = config.algorithm.num_tasks * config.algorithm.envs_per_task
    for name in sorted(times, key=times.get, reverse=True)[:HEAVIEST]:
        yield {
            "what": f"{preset}: {name}",
            "worlds": worlds,
            "value": 100 * times[name] / total,
            "unit": "% of busy time",
            "note": f"{counts[name]:,} times, {times[name] / 1e3:,.1f} of {total / 1e3:,.1f} ms; {horizon} steps per episode",
        }


def busy(events: list[dict[str, Any]]) -> tuple[dict[str, float], dict[str, int]]:
    """Microseconds and numbers of the device's events by name; of the CPU's threads of XLA, where there is no device."""
    processes = {e["pid"]: e["args"]["name"] for e in events if e.get("name") == "process_name"}
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    on_device = {pid for pid, name in processes.items() if "/device:" in name}
    times: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for event in events:
        if event.get("ph") != "X":
            continue
        thread = threads.get((event["pid"], event.get("tid")), "")
        if event["pid"] in on_device if on_device else "XLA" in thread or "Eigen" in thread:
            if on_device and not thread.startswith("Stream"):  # others repeat these, by operation or by module
                continue
            name = plain(event["name"])
            times[name] += event.get("dur", 0.0)
            counts[name] += 1
    return times, counts


def plain(name: str) -> str:
    """A kernel's name without numbers that differ between copies of one kind."""
    name = re.sub(r"_[0-9a-f]{8}(_cuda_kernel_forward)?$", "", name)
    return re.sub(r"([._]\d+)+$", "", name)
