"""Many devices: one run's tasks are split over the axis `task` of a mesh, parameters are on every device; several runs, each with
its seed, over the axis `seed`.

The compiler splits what is written for one device, and sums statistics over devices. Environments are split by hand
(`over_tasks`), because a simulator on the host would otherwise get the whole batch in one call; updates (`over_rows`), because
it would gather a minibatch on every device, and sum gradients in every step of a loop; and runs (`over_seeds`), which have
nothing to say to each other. Without a mesh (`use_mesh`) everything here leaves its argument as
it is. Random numbers do not depend on how arrays are split.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, PartitionSpec

from .errors import ConfigError, nearest_multiples
from .types import MetaEnv, Suite

TASK, SEED = "task", "seed"  # axes of meshes
TIMEOUT = 60  # seconds to wait for other processes
_LOST = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "heartbeat")  # in errors where one of them is gone


def use_parts_of_cpu(devices: int) -> None:
    """Makes the CPU look like that many devices. Before anything is computed."""
    if devices > 1:
        with contextlib.suppress(RuntimeError):  # too late; `make_mesh` says what there is
            jax.config.update("jax_num_cpu_devices", devices)


def connect(coordinator: str | None, processes: int | None, process_id: int | None) -> None:
    """Joins the processes of a run; what is None is asked of Slurm, Open MPI or Kubernetes. Before anything is computed.

    Raises:
      ConfigError: nobody knows, or the others did not come.
    """
    try:
        jax.distributed.initialize(
            coordinator, processes, process_id, initialization_timeout=TIMEOUT, heartbeat_timeout_seconds=TIMEOUT
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the processes did not find each other: {str(error).splitlines()[0]}") from error


def most_even(num_seeds: int, devices: int) -> int:
    """The most of these devices that can share the seeds evenly."""
    return max(n for n in range(1, devices + 1) if num_seeds % n == 0)


def make_mesh(devices: int, axis: str = TASK) -> Mesh:
    """A mesh of `devices` devices of every process; ConfigError where a process has fewer."""
    local = jax.local_device_count()
    if not 1 <= devices <= local:
        raise ConfigError(f"--devices {devices}: this process has {local}; choose 1 to {local}.")
    chosen = [d for process in range(jax.process_count()) for d in jax.local_devices(process)[:devices]]
    return Mesh(np.array(chosen), (axis,), axis_types=(AxisType.Auto,))


@contextlib.contextmanager
def use_mesh(mesh: Mesh) -> Iterator[None]:
    """Programs compiled within are split over the mesh; over one device they are what they are without it."""
    with jax.set_mesh(mesh) if mesh.size > 1 else contextlib.nullcontext():
        yield


def check_divides(num_tasks: int, mesh: Mesh, env: MetaEnv | Suite, name: str) -> None:
    """ConfigError with the nearest numbers that fit, unless tasks can be split evenly over environments and several devices."""
    devices = mesh.shape.get(TASK, 1)
    parts = devices * (len(env.envs) if isinstance(env, Suite) else 1)
    if devices > 1 and num_tasks % parts:
        what = f"{devices} devices" + f" x {parts // devices} environments" * (parts > devices)
        raise ConfigError(
            f"{name} {num_tasks} cannot be split evenly over {what}: take {nearest_multiples(parts, num_tasks)}."
        )


def task_devices() -> int:
    """How many devices the tasks of the program that is being traced are split over."""
    return _devices_along(TASK)


def _devices_along(axis: str) -> int:
    return jax.sharding.get_abstract_mesh().shape.get(axis, 1)


def over_tasks(fn: Callable) -> Callable:
    """`fn` of trees of arrays `[N, ...]` and to such, so that each device computes it for its own tasks."""
    return _over(TASK, fn)


def over_rows(fn: Callable, num_rows: int) -> Callable:
    """`fn(rows, *whole)` so that each device computes it for its own rows of a batch, leaves `[R, ...]`, and is given the rest
    whole; what it gives stands one after the other, as for `over_tasks`.

    Where `num_rows`, R or a share of it, cannot be split evenly over the devices, each computes all of it.
    """
    if num_rows % task_devices():
        return fn
    return lambda rows, *whole: _over(TASK, fn, (PartitionSpec(TASK), *[PartitionSpec()] * len(whole)))(rows, *whole)


def over_seeds(fn: Callable) -> Callable:
    """`fn` of trees of arrays `[S, ...]` and to such, so that each device computes it for its own runs."""
    return _over(SEED, fn)


def _over(axis: str, fn: Callable, in_specs: Any = None) -> Callable:
    if _devices_along(axis) == 1:
        return fn
    split = PartitionSpec(axis)
    return jax.shard_map(fn, in_specs=in_specs or split, out_specs=split, check_vma=False)


def split_tasks(tree: Any) -> Any:
    """Arrays `[N, ...]`, each device holding its own tasks."""
    if _devices_along(TASK) == 1:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec(TASK))


def is_loss_of_process(error: Exception) -> bool:
    """Whether something failed because another process is gone: a program, or a checkpoint that all of them write."""
    return jax.process_count() > 1 and any(sign in str(error) for sign in _LOST)


def is_first_process() -> bool:
    """Whether this process writes and shows what all of them compute."""
    return jax.process_index() == 0


def largest(value: int) -> int:
    """The largest of the processes' values."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.process_allgather(np.array(value)).max())


def of_first_process(values: tuple[float, ...]) -> tuple[float, ...]:
    """The first process's values: they may differ by rounding, and must not decide differently."""
    if jax.process_count() == 1:
        return values
    return tuple(multihost_utils.broadcast_one_to_all(np.array(values, np.float32)).tolist())
