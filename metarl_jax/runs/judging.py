"""Held-out tasks at the end of a run: adaptation curves, figures and the summary, as files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import evaluation
from ..config import EvaluationConfig, ExperimentConfig
from ..show import plots
from ..types import Algorithm, EnvSpec, Key, MetaEnv, RunState, Suite
from . import clock
from .runlog import RunLog, read_metrics, write_atomically
from .window import evaluation_key


class Judge(NamedTuple):
    """Judges any number of states of a run, or of runs that differ in their seeds alone, by one compiled program."""

    config: ExperimentConfig
    settings: EvaluationConfig
    spec: EnvSpec  # of the environment that it judges in
    task_env: tuple[str, ...]  # names of the environments of a suite, by task; () where there is but one
    curve_of: Callable[[RunState, Key], evaluation.Curve]

    def __call__(self, state: RunState, seed: int | None = None) -> dict[str, Any]:
        """The adaptation curve, as eval/*.json holds it; `seed` is the run's, `config.seed` where left out."""
        key = evaluation_key(self.config.seed if seed is None else seed)
        returns, success = (np.asarray(x) for x in self.curve_of(state, key))
        curve = {
            "env": self.config.env,
            "iteration": int(state.step),
            "episodes": self.settings.episodes,
            "horizon": self.spec.horizon,
            "steps": list(range(self.settings.steps + 1)),
            **_estimates(returns),
            "returns": returns.tolist(),
        }
        if self.spec.has_success:
            curve["success"] = _estimates(success) | {"values": success.tolist()}
        if self.task_env:
            curve["task_env"] = list(self.task_env)
        return curve


def make_judge(
    config: ExperimentConfig, algorithm: Algorithm, env: MetaEnv | Suite, eval_env: MetaEnv | Suite
) -> Judge:
    """Judging as `config.evaluation` says.

    Args:
      config: of the run.
      algorithm: made of it.
      env: that it trains on.
      eval_env: to draw held-out tasks from.
    """
    settings = config.evaluation
    curve_of = jax.jit(
        lambda state, key: evaluation.adaptation_curve(
            algorithm, eval_env, state, key, (settings.tasks, settings.episodes), settings.steps
        )
    )
    members = eval_env.envs if isinstance(eval_env, Suite) else ()
    task_env = tuple(e.spec.name for e in members for _ in range(settings.tasks // len(members)))
    return Judge(config, settings, eval_env.spec, task_env, curve_of)


def write(judge: Judge, curve: dict[str, Any], directory: Path, name: str) -> None:
    """Writes a curve to eval/NAME.json and draws it."""
    write_atomically(directory / "eval" / f"{name}.json", json.dumps(curve, indent=2))
    title = f"{judge.config.env}: {judge.settings.tasks} held-out tasks"
    plots.adaptation_curve({judge.config.preset: curve}, directory / "plots" / "adaptation.png", title)


def _estimates(values: np.ndarray) -> dict[str, list]:
    """Mean, IQM and intervals of each row of `[K + 1, N]`."""
    estimates = [evaluation.estimate(row)._asdict() for row in values]
    return {name: np.array([e[name] for e in estimates]).tolist() for name in evaluation.Estimate._fields}


def sum_up(
    config: ExperimentConfig, log: RunLog, judge: Judge, curve: dict[str, Any], seconds: Callable[[], dict[str, float]]
) -> dict[str, Any]:
    """Writes and draws the last curve, and sums the run up; `seconds` (see clock.py) is read last of all."""
    write(judge, curve, log.directory, f"iteration-{curve['iteration']}")
    rows = read_metrics(log.directory)
    plots.learning_curves({config.preset: rows}, log.directory / "plots" / "learning.png")
    summary = {
        "preset": config.preset,
        "seed": config.seed,
        "iterations": rows[-1]["iteration"],
        "env_steps": rows[-1]["env_steps"],
        "env_steps_per_second": clock.rate(rows),
        **seconds(),
    }
    for what, estimates in (("return", curve), ("success", curve.get("success"))):
        for when, point in (("before", 0), ("after", -1)):
            if estimates:
                summary[f"{what}_{when}"] = {name: estimates[name][point] for name in evaluation.Estimate._fields}
    write_atomically(log.directory / "summary.json", json.dumps(summary, indent=2))
    return summary
