"""What a run is judged on and how it does there: adaptation curves, figures and the summary, as files."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import evaluation, rollout
from ..config import EvaluationConfig, ExperimentConfig, SettledEvaluation
from ..errors import check_steps
from ..evaluation import Curve, Population, over_tasks
from ..policies import ACTIONS, make_judged_act
from ..show import plots
from ..show.plots import Setting
from ..types import Adaptation, Algorithm, EnvSpec, Key, MetaEnv, RunState, Suite, Task
from . import clock
from .files import write_atomically
from .metrics import read_metrics
from .runlog import RunLog, SilentLog
from .window import evaluation_key


@dataclasses.dataclass(frozen=True)
class Judge:
    """Judges any number of states of a run, or of runs that differ in their seeds alone, by one compiled program."""

    config: ExperimentConfig
    settings: SettledEvaluation
    adaptation: Adaptation  # of training
    spec: EnvSpec  # of the environment that it judges in
    population: Population  # `words` say what is judged on
    curve_of: Callable[[RunState, Key], Curve]

    def __call__(self, state: RunState, seed: int | None = None) -> dict[str, Any]:
        """The adaptation curve, as eval/*.json holds it; `seed` is the run's, `config.seed` where left out."""
        config, settings, (rows, held_out, words, notes) = self.config, self.settings, self.population
        seed = config.seed if seed is None else seed
        measured = jax.tree.map(np.asarray, self.curve_of(state, episodes_key(settings, seed)))
        returns, success, unstable = measured.returns, measured.success, measured.unstable
        curve: dict[str, Any] = {
            "env": config.env,
            "tasks": words,
            "held_out": held_out,
            "notes": list(notes),
            "iteration": int(state.step),
            "seed": seed,
            "task_seed": settings.seed,
            "episodes": settings.episodes,
            "actions": settings.actions,
            "horizon": self.spec.horizon,
            "physics": config.physics,
            "steps": list(range(len(returns))),
            **evaluation.by_point([over_tasks(x, rows) for x in returns]),
            "returns": returns.tolist(),
            "task": rows.task,
            "task_env": rows.env,
            "all_tasks": rows.all_tasks,
        }
        if unstable is not None:
            curve["unstable_worlds"] = unstable.tolist()
            curve["notes"] += evaluation.unstable_notes(unstable.sum(), returns.size * settings.episodes)
        if self.spec.has_success:
            points = [over_tasks(x, rows) for x in success]
            curve["success"] = evaluation.by_point(points, evaluation.SUCCESS_FIELDS) | {"values": success.tolist()}
        return curve


def make_judge(
    config: ExperimentConfig,
    algorithm: Algorithm,
    env: MetaEnv | Suite,
    eval_env: MetaEnv | Suite,
    actions: str = "sample",
) -> Judge:
    """Judging as `config.evaluation` says, and as `algorithm` is trained where it says nothing.

    Args:
      config: of the run.
      algorithm: made of it.
      env: that it trains on.
      eval_env: to draw the tasks from.
      actions: of judged episodes (see `SettledEvaluation`).
    """
    settings = config.evaluation.following(algorithm.adaptation, actions)
    play = make_play(settings, algorithm, eval_env, make_judged_act(actions, config.policy, env.spec))
    tasks = draw_tasks(settings, eval_env)
    found = evaluation.population(env, eval_env, tasks, settings.tasks)
    notes = (*found.notes, *differences(settings, algorithm.adaptation, env.spec, eval_env.spec))
    return Judge(
        config,
        settings,
        algorithm.adaptation,
        eval_env.spec,
        found._replace(notes=notes),
        lambda state, key: play(state, tasks, key),
    )


def make_play(
    settings: SettledEvaluation,
    algorithm: Algorithm,
    env: MetaEnv | Suite,
    judged_act: Callable[[rollout.Act], rollout.Act] | None,
) -> Callable[[RunState, Task, Key], Curve]:
    """Judging on any tasks, `settings.tasks` of them, by one compiled program: state, tasks, key -> how they went.

    ConfigError where that is more than a program can do at once.
    """
    shape = (settings.tasks, settings.episodes)
    check_steps(settings.tasks * settings.episodes * (settings.steps + 1) * env.spec.horizon, "an evaluation")

    @jax.jit
    def play(state: RunState, tasks: Task, key: Key) -> Curve:
        return evaluation.adaptation(algorithm, env, state, tasks, key, shape, settings.steps, judged_act)[2]

    return play


def differences(settings: SettledEvaluation, adaptation: Adaptation, trained: EnvSpec, judged: EnvSpec) -> list[str]:
    """In what that which is judged differs from training."""
    steps, episodes = adaptation
    said = []
    if settings.steps != steps:
        said.append(f"adaptation steps: {settings.steps}, in training {steps}")
    if episodes is not None and settings.steps and settings.episodes != episodes:
        said.append(f"episodes of each step: {settings.episodes}, in training {episodes}")
    if judged.horizon != trained.horizon:
        said.append(f"episodes have {judged.horizon} steps, in training {trained.horizon}")
    if settings.actions != "sample":
        said.append(f"actions of judged episodes: {ACTIONS[settings.actions]}, in training drawn")
    return said


def draw_tasks(settings: EvaluationConfig, env: MetaEnv | Suite) -> Task:
    """The tasks that runs of all seeds are judged on."""
    return rollout.sample_tasks(env, jax.random.split(evaluation_key(settings.seed))[0], settings.tasks)


def episodes_key(settings: EvaluationConfig, seed: int) -> Key:
    """The key of episodes and actions in judging the run of a seed."""
    return jax.random.fold_in(jax.random.split(evaluation_key(seed))[1], settings.seed)


def write(judge: Judge, curve: dict[str, Any], directory: Path, name: str) -> tuple[Path, Path]:
    """Writes a curve to eval/NAME.json and draws it to plots/adaptation-NAME.png; returns both."""
    written = directory / "eval" / f"{name}.json", directory / "plots" / f"adaptation-{name}.png"
    write_atomically(written[0], json.dumps(curve, indent=2))
    plots.adaptation_curve({judge.config.preset: curve}, written[1], f"{curve['env']}: {curve['tasks']}")
    return written


def sum_up(
    config: ExperimentConfig,
    log: RunLog | SilentLog,
    judge: Judge,
    curve: dict[str, Any],
    seconds: Callable[[], dict[str, float]],
) -> dict[str, Any]:
    """Writes and draws the last curve, and sums the run up; `seconds` (see clock.py) is read last of all."""
    write(judge, curve, log.directory, f"iteration-{curve['iteration']}")
    rows = read_metrics(log.directory)
    plots.learning_curves([Setting(config.preset, [rows])], log.directory / "plots" / "learning.png")
    summary = {
        "preset": config.preset,
        "seed": config.seed,
        "iterations": rows[-1]["iteration"],
        "env_steps": rows[-1]["env_steps"],
        "env_steps_per_second": clock.rate(rows),
        **seconds(),
        **{name: curve[name] for name in ("tasks", "held_out", "notes")},
    }
    kinds: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {"return": (curve, evaluation.Estimate._fields)}
    if "success" in curve:
        kinds["success"] = (curve["success"], evaluation.SUCCESS_FIELDS)
    for what, (estimates, fields) in kinds.items():
        for when, point in (("before", 0), ("after", -1)):
            summary[f"{what}_{when}"] = {name: estimates[name][point] for name in fields}
    write_atomically(log.directory / "summary.json", json.dumps(summary, indent=2))
    return summary
