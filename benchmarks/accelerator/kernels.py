"""Warp's kernels, compiled before anything is measured: for a new model minutes, of which a process takes one core."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...envs import make
from ...types import Suite
from .. import isolated

_MOST = 12  # processes at the same time; each takes half a GiB of the device


def compile_all(names: Sequence[str], seconds: float, environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A row of how long it took. Every scene in a process of its own; they share Warp's cache of kernels.

    Args:
      names: of environments; of a suite every scene.
      seconds: after which all are ended; what is done until then need not be done again.
      environment: of the processes.
    """
    start, environment = time.monotonic(), environment | {"JAX_PLATFORMS": "cpu"}
    (scenes,) = isolated.stream(scenes_of, list(names), seconds=seconds, environment=environment)

    def compile_one(name: str) -> str | None:
        left = max(1.0, seconds - (time.monotonic() - start))
        try:
            list(isolated.stream(compile_scene, name, seconds=left, environment=environment))
        except isolated.Failed as failure:
            return f"{name}: {failure}"
        return None

    with ThreadPoolExecutor(min(_MOST, os.cpu_count() or 1)) as pool:
        failures = [failure for failure in pool.map(compile_one, scenes) if failure]
    note = f"{len(scenes)} scenes" + (f"; {len(failures)} failed: {failures[0]}" if failures else "")
    yield {"what": "Warp's kernels", "value": time.monotonic() - start, "unit": "s", "note": note}


def scenes_of(names: Sequence[str]) -> Iterator[list[str]]:
    """One environment for each scene of these environments and suites."""
    scenes = {}
    for name in names:
        env = make(name, physics="mujoco")
        for member in env.envs if isinstance(env, Suite) else (env,):
            own = name if member is env else f"metaworld/{member.spec.name}/mt1"
            key = member.scene.model.names if hasattr(member, "scene") else own
            scenes.setdefault((key, getattr(member, "_scene_args", ())[:1]), own)
    yield list(scenes.values())


def compile_scene(name: str) -> Iterator[None]:
    """One step and one reset of two worlds, on Warp's own device and without XLA."""
    import warp as wp

    from ...envs.physics.warp_worlds import Worlds

    physics = make(name, physics="warp").physics
    for substeps in (None, 0):
        program = physics.program({}, substeps)
        Worlds(program.scene, 2, wp.get_preferred_device()).run(program.substeps)
    wp.synchronize()
    yield None
