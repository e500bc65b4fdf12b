"""One run over 1 to 8 devices, here parts of the CPU: what each has to do, what they tell each other, and what each holds.

The same iteration of second-order MAML-PPO for all, each number of devices in a process of its own. Columns:
  devices               that the tasks of an iteration are split over
  iteration_seconds     median by the clock; parts of a CPU share its cores
  device_seconds        median of the time that the cores spent, over devices: what an iteration costs each of them
  sent_bytes            that collective operations give to a device in an iteration, by the compiled program
  gradient_bytes        what data parallelism must move: a gradient of all parameters for each step of the outer optimiser
  other_bytes           sent_bytes that are no gradients: means of metrics, statistics of advantages, whether an episode ended
  largest_array_bytes   on a device
  note                  sizes
"""

import dataclasses
import time
from typing import Any

import numpy as np

from .. import sharding
from . import hlo, isolated, meta_iteration
from .meta_iteration import MetaIteration

DEVICES = (1, 2, 4, 8)
ENV, HORIZON, ENVS_PER_TASK = "point", 20, 4
TASKS, MINIBATCHES = 64, 2
REPEATS = 9


def measure() -> list[dict[str, Any]]:
    """A row for each number of devices."""
    return [isolated.call(row, devices, TASKS) for devices in DEVICES]


def row(devices: int, tasks: int) -> dict[str, Any]:
    """What is known of so many devices, measured in this process, which must not have computed anything yet."""
    sharding.use_parts_of_cpu(devices)
    config = meta_iteration.configure(ENV, "auto", HORIZON, tasks, ENVS_PER_TASK)
    update = dataclasses.replace(config.algorithm.update, minibatches=MINIBATCHES)
    config = dataclasses.replace(config, algorithm=dataclasses.replace(config.algorithm, update=update))
    iteration = MetaIteration(config, devices=devices)
    seconds, of_cores = _median_seconds(iteration)
    program = iteration.compiled.as_text()
    sent = hlo.communicated(program)
    gradients = 4 * iteration.num_params * update.epochs * update.minibatches if devices > 1 else 0
    return {
        "devices": devices,
        "iteration_seconds": seconds,
        "device_seconds": of_cores / devices,
        "sent_bytes": sent,
        "gradient_bytes": gradients,
        "other_bytes": sent - gradients,
        "largest_array_bytes": hlo.largest_array(program),
        "note": f"{ENV}, tasks: {tasks}, {meta_iteration.describe(config)}, minibatches: {update.minibatches}, "
        f"parameters: {iteration.num_params:,}; median of {REPEATS}",
    }


def _median_seconds(iteration: MetaIteration) -> tuple[float, float]:
    """Of an iteration: by the clock, and of all cores that worked on it."""
    iteration()
    spent = []
    for _ in range(REPEATS):
        before = np.array([time.perf_counter(), time.process_time()])
        iteration()
        spent.append(np.array([time.perf_counter(), time.process_time()]) - before)
    seconds, of_cores = np.median(spent, axis=0).tolist()
    return seconds, of_cores
