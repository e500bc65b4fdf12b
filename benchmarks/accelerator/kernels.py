"""Warp's kernels, compiled before anything is measured: one after the other, as they are needed, they take minutes.

Which kernels a scene needs shows when it is stepped. Here it is stepped without running any: launches are noted, the modules
behind them compiled on all cores and left in Warp's cache, where later processes find them. This leans on functions that Warp
does not promise to keep; where they are gone, this part fails and the others wait longer.
"""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any
from unittest import mock

from ...envs import make
from ...types import Suite

_BLOCK = 256  # threads, where a launch does not say
Module = tuple[Any, int]  # a Warp module, and for which size of blocks


def compile_all(names: Sequence[str], arch: int | None = None) -> Iterator[dict[str, Any]]:
    """A row of how long it takes for these environments, told anew after every tenth module.

    Args:
      names: of environments and suites.
      arch: CUDA architecture, 90 for an H100; that of the device where left out.
    """
    import warp as wp

    start = time.monotonic()
    row = {"what": f"Warp's kernels: {', '.join(names)}", "unit": "s"}
    modules: dict[Module, None] = {}
    for name in names:
        modules |= dict.fromkeys(needed(name))
    device = None if arch else wp.get_cuda_device()
    done = compiled = 0
    failures: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [
            pool.submit(_compile, module, block, device, arch) for module, block in sorted(modules, key=_heaviest)
        ]
        for future in as_completed(futures):
            try:
                compiled += future.result()
            except Exception as error:  # one that cannot be compiled is not the end of the others
                failures.append(str(error).splitlines()[0])
            done += 1
            note = f"{done} of {len(modules)} modules of {len(names)} environments, {compiled} of them not in the cache"
            note += f"; {len(failures)} failed: {failures[0]}" if failures else ""
            if done % 10 == 0 or done == len(modules):
                yield row | {"value": time.monotonic() - start, "note": note}


def needed(name: str) -> list[Module]:
    """The modules that a step and a reset of an environment, or of a suite's members, launch kernels of."""
    import warp as wp

    from ...envs.physics.warp_worlds import Worlds

    env = make(name, physics="warp")
    found: dict[Module, None] = {}

    def launch(kernel: Any, dim: Any = None, inputs: Any = (), outputs: Any = (), **options: Any) -> None:
        if kernel.is_generic:
            kernel = kernel.add_overload(kernel.infer_argument_types([*inputs, *outputs]))
        found[kernel.module, options.get("block_dim") or _BLOCK] = None

    def loop(condition: Any, while_body: Any, **arguments: Any) -> None:
        while_body(**arguments)

    with mock.patch.multiple(wp, launch=launch, launch_tiled=launch, capture_while=loop):
        for member in env.envs if isinstance(env, Suite) else (env,):
            for substeps in (None, 0):
                program = member.physics.program({}, substeps)
                Worlds(program.scene, 1, wp.get_device("cpu")).run(program.substeps)
    return list(found)


def _compile(module: Any, block: int, device: Any, arch: int | None) -> bool:
    """Whether it had to be."""
    import warp as wp

    return module._compile(device, output_arch=arch, options=module.resolve_options(wp.config, block_dim=block))


def _heaviest(module: Module) -> tuple[int, str]:
    """A key that puts first what takes longest."""
    name = module[0].name
    weights = {"ccd_kernel": 0, "cholesky": 1, "primitive_narrowphase": 2}
    return min((weight for word, weight in weights.items() if word in name), default=3), name
