"""`metarl adapt`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import tyro

from ..algorithms import online
from ..algorithms.online import OnlineConfig, Subject
from ..errors import ConfigError
from ..experiments.agent import Agent, load
from ..experiments.parts import make_judged_env
from ..policies import make_judged_act
from ..runs import agents, runlog
from ..runs.files import check_place
from ..runs.window import evaluation_key
from ..show import console, plots
from .choices import Actions, Checkpoint
from .options import check_ranges, differences, given, parse, spell


@dataclasses.dataclass(frozen=True)
class AdaptOptions:
    """Let a run go on learning new tasks from its own episodes, beside a copy that does not.

    Tables, JSON in RUN/eval, a curve over episodes in RUN/plots.
    """

    run: tyro.conf.Positional[Path]
    """Run directory, or agent:NAME."""
    env: str | None = None
    """Environment to draw the tasks from; the run's own where left out."""
    tasks: int = 20
    """Tasks, each learned by itself."""
    episodes: int | None = None
    """Episodes of each task in each of the run's own adaptation steps, and in the comparison at the end; as `metarl evaluate`
    takes them where left out."""
    steps: int | None = None
    """Adaptation steps of the run before it goes on learning; as `metarl evaluate` takes them where left out."""
    seed: int | None = None
    """Seed of tasks and episodes; the run's `evaluation.seed` where left out."""
    checkpoint: Checkpoint = "latest"
    """`latest` or `best` (see `evaluation.every` of `metarl train`)."""
    actions: Actions = "sample"
    """In the comparison at the end: `sample`, drawn as in training, or `mode`, the most likely. What is learnt from is drawn."""
    physics: str | None = None
    """Physics backend; the run's own where left out."""
    out: Path | None = None
    """Directory for eval/ and plots/; the run's own where left out."""
    online: OnlineConfig = OnlineConfig()
    """How it learns."""


def parse_options(argv: list[str]) -> AdaptOptions:
    """The options of `metarl adapt`; ConfigError or exit 2 on bad ones."""
    options = parse(AdaptOptions, argv)
    if options.out is not None:
        check_place(options.out, "--out")
    check_ranges(options, {"tasks": (1, 2**20), "episodes": (1, 2**20), "steps": (0, 2**20), "seed": (0, 2**32)})
    return options


def run(argv: list[str]) -> int:
    """`metarl adapt`; returns the exit code."""
    options = parse_options(argv)
    agent = load(options.run, options.checkpoint, options.physics)
    config, algorithm, state = agent.config, agent.algorithm, agent.state
    seed = config.evaluation.seed if options.seed is None else options.seed
    env = _make_tasks(agent, options)
    if algorithm.policy is None:
        raise ConfigError(
            f"{config.algorithm.name} adapts a belief of the task, not a policy's parameters, which gradient steps could go on "
            "with: `metarl evaluate` shows how it goes on with more episodes."
        )
    asked = dataclasses.replace(config.evaluation, **given(options, "episodes", "steps"))
    own = config.evaluation.following(algorithm.adaptation)
    settings = asked.following(algorithm.adaptation, options.actions)
    shape = (options.tasks, settings.episodes)
    judged_act = make_judged_act(settings.actions, config.policy, agent.spec)
    subject = Subject(algorithm, algorithm.policy, env, judged_act)
    compare = jax.jit(lambda state, key: online.compare(options.online, subject, state, key, shape, settings.steps))
    with console.waiting(f"learning {options.tasks} tasks"):
        report = online.report(options.online, compare(state, evaluation_key(seed)))
    report |= {"env": env.spec.name, "iteration": int(state.step), "seed": seed}
    report |= {"tasks": options.tasks, "episodes": settings.episodes, "steps": settings.steps}
    report |= {"horizon": env.spec.horizon, "actions": settings.actions}
    report["online"] = dataclasses.asdict(options.online)
    name = f"online-{env.spec.name.replace('/', '-')}-iteration-{int(state.step)}-tasks-{options.tasks}-seed-{seed}"
    learning = differences(OnlineConfig(), options.online)
    learning = {f"online.{field}": value for field, value in learning.items()}
    name += spell(differences(own, settings) | learning | agent.other_physics)
    console.print_online(report)
    out = options.out or agents.home(options.run)
    written = out / "eval" / f"{name}.json", out / "plots" / f"{name}.png"
    with runlog.readable_errors(out, "--out"):
        runlog.write_atomically(written[0], json.dumps(report, indent=2))
        plots.online_curve(report, written[1], f"{config.preset}: learning on in {env.spec.name}")
    print("written: " + " and ".join(map(str, written)))
    return 0


def _make_tasks(agent: Agent, options):
    """Where the tasks come from; ConfigError where the run's policy does not fit there."""
    evaluation = dataclasses.replace(agent.config.evaluation, tasks=options.tasks)
    changes: dict[str, Any] = {
        "env": options.env or agent.config.env,
        "physics": agent.physics,
        "evaluation": evaluation,
    }
    return make_judged_env(dataclasses.replace(agent.config, **changes), agent.spec)
