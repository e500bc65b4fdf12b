"""`metarl evaluate`."""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..errors import ConfigError
from ..experiments.agent import Agent, load
from ..runs import agents, judging, runlog, shift
from ..runs.files import check_place
from ..runs.signals import interruptibly
from ..show import console
from .choices import Actions, Checkpoint
from .options import given, parse
from .shifting import changes, evaluate_shift


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """How a run adapts to tasks, unseen ones where there are such: tables, JSON in RUN/eval, figures in RUN/plots.

    On its own environment (`--on native`), or on the installed metaworld package (`--on metaworld`).
    """

    run: tyro.conf.Positional[Path]
    """Run directory, or agent:NAME."""
    on: Literal["native", "metaworld"] = "native"
    """`native`: test tasks of the run's environment; `metaworld`: the installed package's environments."""
    tasks: int | None = None
    """Native: tasks to judge on; the run's own number where left out."""
    episodes: int | None = None
    """Episodes of each task per point, which the next adaptation step sees (on metaworld: of each goal, after adaptation); the
    run's own number where left out."""
    steps: tuple[int, ...] = ()
    """Native: adaptation steps to show (for example 0 1 2 3); 0 to the run's own number where left out."""
    shift: Annotated[str | None, tyro.conf.arg(metavar="NAME=LOW..HIGH:STEPS")] = None
    """Native: judge on tasks of so many values of one of their numbers, inside and outside of what training had:
    `speed=0..5:11`, `radius=0.5..2:7`, `mass=0.1..5:9`, `goal-x=-0.3..0.3:7`. The error on any other name lists them."""
    horizon: int | None = None
    """Steps per episode; where left out, the run's own number, on metaworld the package's 500."""
    seed: int | None = None
    """Seed of the tasks; the run's `evaluation.seed` where left out (on metaworld the seed in its environment's name)."""
    checkpoint: Checkpoint = "latest"
    """`latest` or `best` (see `evaluation.every` of `metarl train`)."""
    physics: str | None = None
    """Native: physics backend; the run's own where left out."""
    out: Path | None = None
    """Directory for eval/ and plots/; the run's own where left out."""
    suite: Annotated[str | None, tyro.conf.arg(metavar="ML10|MT1-reach-v3|...")] = None
    """Metaworld: ML10, MT10, ML1-reach-v3, MT1-reach-v3, and so on; what the run was trained on where left out."""
    split: Literal["train", "test"] | None = None
    """Metaworld: `train` or `test`; `test` where left out (MT suites only have `train`)."""
    evaluator: Literal["per-goal", "official", "both"] | None = None
    """Metaworld: `per-goal` (equally many episodes of each; the default), `official` (the package's functions), or `both`."""
    adaptation_episodes: tuple[int, ...] = ()
    """Metaworld, per-goal: episodes that an adaptation step sees; where left out 0 1 2 5 10 and those of training, 0
    for runs that do not adapt."""
    actions: Actions = "sample"
    """In judged episodes: `sample`, drawn as in training, or `mode`, the most likely. Those that adapt the policy are drawn."""


def parse_evaluate(argv: list[str]) -> EvaluateOptions:
    """The options of `metarl evaluate`; ConfigError or exit 2 on bad ones."""
    options = parse(EvaluateOptions, argv)
    if options.out is not None:
        check_place(options.out, "--out")
    native, metaworld = ("tasks", "steps", "shift", "physics"), ("suite", "split", "evaluator", "adaptation_episodes")
    for name in metaworld if options.on == "native" else native:
        if getattr(options, name) not in (None, ()):
            other = "metaworld" if options.on == "native" else "native"
            raise ConfigError(f"--{name.replace('_', '-')} goes with --on {other} only.")
    if options.evaluator == "official":
        for name in ("episodes", "adaptation_episodes"):
            if getattr(options, name) not in (None, ()):
                raise ConfigError(
                    f"--{name.replace('_', '-')} goes with --evaluator per-goal: the official one has its own."
                )
    if options.steps and min(options.steps) < 0:
        raise ConfigError(f"--steps must not be negative: {options.steps}.")
    if options.shift is not None:
        shift.parse(options.shift)
    return options


def run(argv: list[str]) -> int:
    """`metarl evaluate`; returns the exit code."""
    options = parse_evaluate(argv)
    if options.on == "metaworld" and importlib.util.find_spec("metaworld") is None:
        raise ConfigError("--on metaworld needs the package: pip install 'metaworld>=3.0'.")
    agent = load(options.run, options.checkpoint, options.physics)
    if options.on == "metaworld":
        return _evaluate_on_metaworld(options, agent)
    asked = given(options, "tasks", "episodes", "horizon", "seed")
    asked |= {"steps": max(options.steps)} if options.steps else {}
    if options.shift is not None:
        return evaluate_shift(options, agent, asked)
    return _evaluate_natively(options, agent, asked)


def _evaluate_natively(options, agent: Agent, asked: dict[str, Any]) -> int:
    judge = agent.judge(options.actions, **asked)
    name = f"iteration-{int(agent.state.step)}{changes(agent, judge.settings)}"
    out = options.out or agents.home(options.run)
    with console.waiting(f"evaluating: {judge.population.words}"):
        curve = interruptibly(judge, agent.state)
    console.print_curve(curve, options.steps or tuple(curve["steps"]))
    with runlog.readable_errors(out, "--out"):
        written = judging.write(judge, curve, out, name)
    print("written: " + " and ".join(map(str, written)))
    return 0


def _evaluate_on_metaworld(options, agent: Agent) -> int:
    from ..benchmarks.metaworld import bridge

    wanted = bridge.request(agent.config, agent.algorithm.adaptation, options)
    with console.steps_bars() as begin:
        report = bridge.judge(agent.config, agent.algorithm, agent.spec, agent.state, wanted, begin)
    console.print_host_report(report)
    out = options.out or agents.home(options.run)
    with runlog.readable_errors(out, "--out"):
        written = bridge.write(report, out)
    print("written: " + " and ".join(map(str, written)))
    return 0
