"""Presets end to end: environment steps per second with learning, and how much of the time is physics."""

import dataclasses
import statistics
from collections.abc import Iterator
from typing import Any

from ... import presets
from ...config import ExperimentConfig
from ...envs import make
from .. import timing
from ..meta_iteration import MetaIteration
from . import card, stepping

REPEATS = 2
_PROBE = 50  # steps of the rollout without learning


def speed(preset: str, physics: str, scale: int, horizon: int | None = None) -> Iterator[dict[str, Any]]:
    """A row of one preset.

    Args:
      preset: its name.
      physics: backend.
      scale: see `presets.scaled`.
      horizon: steps per episode, where they should be fewer.
    """
    config = shortened(presets.scaled(presets.PRESETS[preset].config, scale), horizon)
    config = dataclasses.replace(config, physics=physics)
    iteration = MetaIteration(config)
    seconds = statistics.median(timing.in_turn({preset: iteration}, REPEATS)[preset])
    num_tasks, envs_per_task = config.algorithm.num_tasks, config.algorithm.envs_per_task
    worlds = num_tasks * envs_per_task
    row = {
        "what": f"{preset} --scale {scale}, {physics}",
        "worlds": worlds,
        "value": iteration.env_steps / seconds,
        "unit": "steps/s",
        "compile_seconds": iteration.compile_seconds,
        "memory_mib": card.memory_mib(),
        "note": f"{seconds:.3g} s an iteration of {iteration.env_steps:,} steps",
    }
    yield row
    steps = iteration.env_steps // worlds
    env = make(config.env, physics=physics, horizon=config.horizon)
    _, probe = stepping.rollout_seconds(env, num_tasks, envs_per_task, min(_PROBE, steps))
    share = probe / min(_PROBE, steps) * steps / seconds
    yield row | {"note": f"{row['note']}; stepping alone {share:.0%}, learning and the rest {max(0.0, 1 - share):.0%}"}


def shortened(config: ExperimentConfig, horizon: int | None) -> ExperimentConfig:
    """With shorter episodes, and what depends on them."""
    if horizon is None:
        return config
    algorithm = config.algorithm
    if algorithm.name == "rl2":
        algorithm = dataclasses.replace(algorithm, chunk=horizon)
    if algorithm.name == "ppo":
        algorithm = dataclasses.replace(algorithm, unroll=horizon)
    return dataclasses.replace(config, horizon=horizon, algorithm=algorithm)
