"""Judges a trained run on the installed `metaworld` package: checks that they fit, runs the evaluators, writes it down."""

import contextlib
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ...config import ExperimentConfig
from ...envs.metaworld import Name, parse
from ...envs.metaworld.env import HORIZON
from ...errors import ConfigError, lookup
from ...policies import ACTIONS, make_judged_act
from ...runs.runlog import write_atomically
from ...show import plots
from ...types import Adaptation, Algorithm, EnvSpec, RunState
from . import evaluators, host
from .agents import RunAgent
from .workers import WorkerEnvs

EVALUATORS = {"per-goal": ("per-goal",), "official": ("official",), "both": ("official", "per-goal")}


class Request(NamedTuple):
    """What to judge a run on, and how."""

    suite: str  # by its full name
    split: str
    evaluators: tuple[str, ...]  # of EVALUATORS
    episodes: int  # of each goal per point of the curve
    points: tuple[int, ...]  # adaptation episodes of the curve
    horizon: int
    seed: int  # of goals and actions
    mode: bool  # the most likely actions instead of draws in evaluation episodes
    steps: int = 1  # adaptation steps of a point, each on as many episodes


def request(config: ExperimentConfig, adaptation: Adaptation, asked: Any) -> Request:
    """What the options `asked` of `metarl evaluate --on metaworld` mean for a run that was trained to adapt so.

    Raises:
      ConfigError: an unknown suite, split or evaluator, a number out of range, or a run whose belief reads what is not told.
    """
    name = run_name(config)
    if getattr(config.algorithm, "next_obs", False):
        raise ConfigError(
            "the run's belief reads the observation after each step (algorithm.next_obs), and the package does not tell the one "
            "that ends an episode: judge it natively, without --on metaworld."
        )
    suite = host.full_name(asked.suite) if asked.suite else host.suite_of(name)
    kinds = lookup(asked.evaluator or "per-goal", EVALUATORS, "evaluator")
    own = config.evaluation.following(adaptation)
    episodes = own.episodes if asked.episodes is None else asked.episodes
    # A run that is judged without adaptation steps does not adapt, and where the goal is shown there is nothing to find out.
    adapts = own.steps > 0 and not host.shows_goal(suite)
    by_memory = adaptation.episodes is None
    usual = {*evaluators.POINTS, own.steps if by_memory else own.episodes} if adapts else {0}
    points = tuple(sorted(set(asked.adaptation_episodes) or usual))
    horizon = HORIZON if asked.horizon is None else asked.horizon
    if min(points) < 0:
        raise ConfigError(f"--adaptation-episodes must not be negative: {points}.")
    if episodes < 1 or not 1 <= horizon <= HORIZON:
        raise ConfigError(f"--episodes must be at least 1, and --horizon lie in [1, {HORIZON}] on the package.")
    seed = name.seed if asked.seed is None else asked.seed
    if not 0 <= seed < 2**32 - 1:  # the package adds 1 for the test goals of ML1
        raise ConfigError(f"--seed must lie in [0, 2**32 - 1) on the package, not {seed}.")
    split = host.find_split(suite, asked.split)
    mode, steps = asked.actions == "mode", 1 if by_memory else max(1, own.steps)
    return Request(suite, split, kinds, episodes, points, horizon, seed, mode, steps)


def run_name(config: ExperimentConfig) -> Name:
    """The parts of the name of the run's environment; ConfigError where it is not Meta-World's."""
    if not config.env.startswith(("metaworld/", "metaworld-host/")):
        raise ConfigError(f"the run was trained on {config.env!r}: only runs on metaworld/... fit --on metaworld.")
    return parse(config.env)


def label_names(run: Name, spec: EnvSpec, wanted: Request) -> tuple[str, ...]:
    """The tasks that the run's one-hot labels stand for, () without labels.

    Raises:
      ConfigError: the run's observations or actions do not fit those of the suite.
    """
    suite = wanted.suite
    if run.shows_goal != host.shows_goal(suite):
        shown, hidden = ("the run", suite) if run.shows_goal else (suite, "the run")
        fitting = "MT suites" if run.shows_goal else "ML suites"
        raise ConfigError(f"{shown} has the goal in the observation, {hidden} has not: judge it on {fitting} instead.")
    labels = run.families("train") if run.one_hot else ()
    if (spec.obs_dim, spec.action_dim) != (39 + len(labels), 4):
        raise ConfigError(
            f"the run has {spec.obs_dim} observations and {spec.action_dim} actions, {suite} {39 + len(labels)} and 4."
        )
    unknown = [name for name in host.task_names(suite, wanted.split) if name not in labels]
    if labels and unknown:
        raise ConfigError(
            f"the run was told which of its {len(labels)} tasks it is at, and has no label for {', '.join(unknown)} "
            f"({suite}, {wanted.split}): judge it on tasks it was trained on."
        )
    return labels


def judge(
    config: ExperimentConfig,
    algorithm: Algorithm,
    spec: EnvSpec,
    state: RunState,
    wanted: Request,
    progress: Callable[[str, int], Callable[[int], None]],
) -> dict[str, Any]:
    """Runs the evaluators one after the other.

    Args:
      config: of the run.
      algorithm: made of it.
      spec: of the environment it was trained on.
      state: of the run.
      wanted: see there.
      progress: is told of an evaluator and of its greatest number of steps; what it returns is told of steps done.

    Returns:
      What is written to eval/*.json: the request, `notes`, and under `official` and `per-goal` what these return
      and the `seconds` they took.

    Raises:
      ConfigError: run and suite do not fit.
      WorkerError: an environment failed for the second time.
    """
    run = run_name(config)
    labels = label_names(run, spec, wanted)
    suite = host.make_suite(wanted.suite, wanted.split, wanted.seed)
    judged_act = make_judged_act("mode" if wanted.mode else "sample", config.policy, spec)
    report = wanted._asdict() | {"env": config.env, "iteration": int(state.step), "metaworld": version("metaworld")}
    report["notes"] = notes(config, run, suite, wanted, algorithm.adaptation)
    goals = {"points": wanted.points, "episodes": wanted.episodes, "steps": wanted.steps}
    recurrent = config.policy.memory.name != "none"
    common = suite, host.Wrapping(wanted.seed, wanted.horizon, run.reward, recurrent)
    for kind in wanted.evaluators:
        plan = evaluators.plan_official(*common) if kind == "official" else evaluators.plan_per_goal(*common, **goals)
        made, on_step = plan.environments, progress(kind, plan.max_steps)
        with contextlib.closing(WorkerEnvs(made.makers, made.names, on_step=on_step)) as envs:
            one_hot = np.array([[name == label for label in labels] for name in made.names], float)
            agent = RunAgent(algorithm, spec, state, one_hot, jax.random.key(wanted.seed), judged_act)
            start = time.perf_counter()
            if kind == "official":
                report[kind] = evaluators.official(agent, envs, suite)
            else:
                report[kind] = evaluators.per_goal(agent, envs, suite, wanted.horizon, **goals)
            report[kind]["seconds"] = time.perf_counter() - start
    return report


def write(report: dict[str, Any], run: Path) -> list[Path]:
    """Writes what `judge` returned to RUN/eval, and its adaptation curve to RUN/plots; returns the files."""
    what = f"metaworld-{report['suite']}-{report['split']}"
    name = f"{what}-{'-'.join(report['evaluators'])}-iteration-{report['iteration']}-seed-{report['seed']}"
    if "per-goal" in report:
        name += f"-episodes-{report['episodes']}-after-{'-'.join(map(str, report['points']))}"
    name += f"-horizon-{report['horizon']}" * (report["horizon"] != HORIZON) + "-mode" * report["mode"]
    written = [run / "eval" / f"{name}.json"]
    write_atomically(written[0], json.dumps(report, indent=2))
    if "per-goal" in report:
        written.append(run / "plots" / f"{name}.png")
        title = f"{report['suite']}, {report['split']}: success on every goal"
        plots.success_curves(report["per-goal"], written[1], title)
    return written


def notes(
    config: ExperimentConfig, run: Name, suite: host.HostSuite, wanted: Request, adaptation: Adaptation
) -> list[str]:
    """What a reader of the figures must know of a run that was trained to adapt so."""
    said, by_memory = [], adaptation.episodes is None
    if run.what not in (suite.name, suite.name[4:]):
        said.append(f"trained on {config.env}, judged on another suite")
    if suite.overlap:
        said.append(f"{', '.join(suite.overlap)} is in both splits of {suite.name}: not unseen")
    if suite.shows_goal:
        said.append(f"{suite.name} has one split: these are goals of training")
    if "official" in wanted.evaluators and not suite.shows_goal and len(suite.classes) < evaluators.META_BATCH:
        said.append("official keeps the first episodes to finish under a task's name: biased upward where goals differ")
    if max(wanted.points) and "per-goal" in wanted.evaluators:
        how = "what the memory holds after them" if by_memory else "one adaptation step on them"
        said.append(f"after N episodes: {how}, the first N that the meta-trained policy played")
        if wanted.steps > 1:
            said.append(f"{wanted.steps - 1} further adaptation steps follow, each on N episodes of the policy so far")
    official = (
        Adaptation(evaluators.ADAPTATION_EPISODES, None) if by_memory else Adaptation(1, evaluators.ADAPTATION_EPISODES)
    )
    if "official" in wanted.evaluators and adaptation.steps and not suite.shows_goal and adaptation != official:
        trained = (
            f"{adaptation.steps} episodes"
            if by_memory
            else f"{adaptation.steps} steps on {adaptation.episodes} episodes"
        )
        said.append(f"official adapts once, to {evaluators.ADAPTATION_EPISODES} episodes; training adapts in {trained}")
    if config.horizon not in (None, wanted.horizon):
        said.append(f"episodes have {wanted.horizon} steps, in training {config.horizon}")
    if run.reward != "v2":
        said.append(f"rewards are those of the run, {run.reward}")
    said.append(f"actions of evaluation episodes: {ACTIONS['mode' if wanted.mode else 'sample']}")
    return said
