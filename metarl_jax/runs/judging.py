"""Held-out tasks at the end of a run: adaptation curves, figures and the summary, as files."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import evaluation
from ..config import ExperimentConfig
from ..show import plots
from ..types import Algorithm, MetaEnv, RunState, Suite
from .runlog import RunLog, read_metrics, write_atomically
from .window import evaluation_key


def evaluate(
    config: ExperimentConfig,
    algorithm: Algorithm,
    eval_env: MetaEnv | Suite,
    state: RunState,
    directory: Path,
    name: str,
) -> dict[str, Any]:
    """Adaptation curve on held-out tasks, as `config.evaluation` says: written to eval/NAME.json, drawn, and returned."""
    settings = config.evaluation
    curve_of = jax.jit(
        lambda state, key: evaluation.adaptation_curve(
            algorithm, eval_env, state, key, (settings.tasks, settings.episodes), settings.steps
        )
    )
    returns, success = (np.asarray(x) for x in curve_of(state, evaluation_key(config.seed)))
    curve = {
        "env": config.env,
        "iteration": int(state.step),
        "episodes": settings.episodes,
        "horizon": eval_env.spec.horizon,
        "steps": list(range(settings.steps + 1)),
        **_estimates(returns),
        "returns": returns.tolist(),
    }
    if eval_env.spec.has_success:
        curve["success"] = _estimates(success) | {"values": success.tolist()}
    if isinstance(eval_env, Suite):
        curve["task_env"] = np.repeat(
            [e.spec.name for e in eval_env.envs], settings.tasks // len(eval_env.envs)
        ).tolist()
    write_atomically(directory / "eval" / f"{name}.json", json.dumps(curve, indent=2))
    title = f"{config.env}: {settings.tasks} held-out tasks"
    plots.adaptation_curve({config.preset: curve}, directory / "plots" / "adaptation.png", title)
    return curve


def _estimates(values: np.ndarray) -> dict[str, list]:
    """Mean, IQM and intervals of each row of `[K + 1, N]`."""
    estimates = [evaluation.estimate(row)._asdict() for row in values]
    return {name: np.array([e[name] for e in estimates]).tolist() for name in evaluation.Estimate._fields}


def sum_up(
    config: ExperimentConfig, log: RunLog, algorithm: Algorithm, eval_env: MetaEnv | Suite, state: RunState
) -> dict[str, Any]:
    """Evaluates, draws, and sums the run up."""
    curve = evaluate(config, algorithm, eval_env, state, log.directory, f"iteration-{int(state.step)}")
    rows = read_metrics(log.directory)
    plots.learning_curves({config.preset: rows}, log.directory / "plots" / "learning.png")
    summary = {
        "preset": config.preset,
        "seed": config.seed,
        "iterations": rows[-1]["iteration"],
        "env_steps": rows[-1]["env_steps"],
        "env_steps_per_second": rows[-1]["env_steps"] / rows[-1]["seconds"],
        "seconds": rows[-1]["seconds"],
    }
    for what, estimates in (("return", curve), ("success", curve.get("success"))):
        for when, point in (("before", 0), ("after", -1)):
            if estimates:
                summary[f"{what}_{when}"] = {name: estimates[name][point] for name in evaluation.Estimate._fields}
    write_atomically(log.directory / "summary.json", json.dumps(summary, indent=2))
    return summary
