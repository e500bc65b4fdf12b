"""Evaluation while a run trains: when, and what of it goes into metrics and decides about the best checkpoint."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..config import ExperimentConfig
from ..types import Algorithm, RunState
from .judging import Judge
from .signals import interruptibly

SHARE = 0.05  # of training, at most
METRIC = "eval_return_after"  # which every row has whose iteration was evaluated


def interval(judge: Judge, algorithm: Algorithm) -> int:
    """Iterations between evaluations, as `evaluation.every` says; 0: at the end of the run alone.

    Where nothing is said, the fewest so that an evaluation has at most SHARE of the environment steps that training has
    meanwhile, and of its steps one after the other, which decide where a device steps all worlds at once. A rule about
    numbers of steps, not about measured seconds: a resumed run must evaluate at the same iterations. It errs on the cheap
    side, since training also learns from its steps.
    """
    settings, config = judge.settings, judge.config
    if settings.every is not None:
        return settings.every
    one_after_another = (settings.steps + 1) * judge.spec.horizon
    all_steps = settings.tasks * settings.episodes * one_after_another
    worlds = config.algorithm.num_tasks * config.algorithm.envs_per_task
    share = SHARE * algorithm.env_steps_per_iteration
    return math.ceil(max(all_steps / share, one_after_another * worlds / share))


class HeldOut:
    """Judges runs that differ in their seeds alone. It draws from keys of its own, so that it does not disturb training."""

    def __init__(self, configs: Sequence[ExperimentConfig], judge: Judge, algorithm: Algorithm):
        self._seeds, self._judge = [config.seed for config in configs], judge
        self._every = interval(judge, algorithm)

    def next_after(self, step: int) -> float:
        """The iteration of the next evaluation, infinity where only the last one is evaluated."""
        return step + self._every - step % self._every if self._every else math.inf

    def is_due(self, step: int, last: int) -> bool:
        """Whether the states after `step` iterations of `last` are to be judged."""
        return step > 0 and (step == last or (bool(self._every) and step % self._every == 0))

    def __call__(self, states: RunState) -> list[dict[str, Any]]:
        """The adaptation curves of all runs, from their states `[S, ...]`.

        Every process computes the same, on one of its devices: it would wait for the first one anyway.
        """
        states = jax.device_get(states._replace(kept=states.kept._replace(by_task=())))
        return [
            interruptibly(self._judge, jax.tree.map(lambda x, i=i: x[i], states), seed)
            for i, seed in enumerate(self._seeds)
        ]


def metrics(curve: dict[str, Any]) -> dict[str, float | None]:
    """What of a curve goes into the metrics of its iteration: means over tasks, before adaptation and after the last step; as
    float32, as all metrics, which is what can be mended exactly.
    """
    kinds = {"return": curve["mean"]} | ({"success": curve["success"]["mean"]} if "success" in curve else {})
    return {
        f"eval_{what}_{when}": float(np.float32(means[point])) if np.isfinite(means[point]) else None
        for what, means in kinds.items()
        for when, point in (("before", 0), ("after", -1))
    }


def score(curve: dict[str, Any]) -> tuple[float, float]:
    """What makes one state better than another: success after adaptation, and, where that is equal or not defined, return."""
    values = metrics(curve)
    success, gain = values.get("eval_success_after", 0.0), values["eval_return_after"]
    return -math.inf if success is None else success, -math.inf if gain is None else gain
