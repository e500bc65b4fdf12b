"""`metarl diagnose`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro

from .. import rollout
from ..errors import ConfigError, check_worlds
from ..runs import agents, diagnosis, embedding, runlog
from ..runs.diagnosis import Check
from ..runs.embedding import Seen
from ..runs.files import check_place
from ..runs.metrics import read_metrics
from ..runs.signals import interruptibly
from ..show import console
from ..show.diagnosis import print_diagnosis
from ..types import Key, MetaEnv, Suite
from .adapting import Adapting, load_adapting
from .choices import Checkpoint
from .options import check_ranges, parse, spell


@dataclasses.dataclass(frozen=True)
class DiagnoseOptions:
    """How a run does in one held-out task, beside the tasks of its training: a sentence for each thing that is looked at.

    Does adaptation help; do actions vary; how large are the gradients; is what the agent knows of the task like what it knows of
    training's; which of these are like it. Tables, JSON in RUN/eval.
    """

    run: tyro.conf.Positional[Path]
    """Run directory, or agent:NAME."""
    task: int = 0
    """Number of the task, from 0, among those that the run is judged on (of `metarl evaluate`, `embed` and `paths` too)."""
    repeats: int = 10
    """Adaptations to it, each with episodes of its own."""
    tasks: int | None = None
    """Tasks that the run is judged on; the run's `evaluation.tasks` where left out."""
    episodes: int | None = None
    """Episodes of each task that an adaptation step sees; as `metarl evaluate` takes them where left out."""
    steps: int | None = None
    """Adaptation steps K; as `metarl evaluate` takes them where left out."""
    seed: int | None = None
    """Seed of the tasks; the run's `evaluation.seed` where left out."""
    checkpoint: Checkpoint = "latest"
    """`latest` or `best` (see `evaluation.every` of `metarl train`)."""
    out: Path | None = None
    """Directory for eval/; the run's own where left out."""


def parse_options(argv: list[str]) -> DiagnoseOptions:
    """The options of `metarl diagnose`; ConfigError or exit 2 on bad ones."""
    options = parse(DiagnoseOptions, argv)
    if options.out is not None:
        check_place(options.out, "--out")
    ranges = {"task": (0, 2**20), "repeats": (2, 2**10), "tasks": (1, 2**20), "episodes": (1, 2**20)}
    check_ranges(options, ranges | {"steps": (0, 2**10), "seed": (0, 2**32)})
    return options


def run(argv: list[str]) -> int:
    options = parse_options(argv)
    loaded = load_adapting(options, "tasks", "episodes", "steps", "seed")
    if options.task >= loaded.settings.tasks:
        raise ConfigError(
            f"--task must lie in [0, {loaded.settings.tasks - 1}], the tasks of the evaluation, not {options.task}."
        )
    report, step = _report(options, loaded), int(loaded.agent.state.step)
    words = ", ".join(f"{name} {value:.3g}" for name, value in report["numbers"].items())
    print_diagnosis(report, f"{loaded.agent.config.preset}, task {options.task} of {report['task_env']}: {words}")
    repeats = {"repeats": options.repeats} if options.repeats != DiagnoseOptions.repeats else {}
    out, name = options.out or agents.home(options.run), f"diagnosis-task-{options.task}-iteration-{step}"
    path = out / "eval" / f"{name}{spell(loaded.changes | repeats)}.json"
    with runlog.readable_errors(out, "--out"):
        runlog.write_atomically(path, json.dumps(report))
    print(f"written: {path}")
    return 0


def _report(options: DiagnoseOptions, loaded: Adapting) -> dict[str, Any]:
    """Adapts to the task again and again, and to tasks of training, and checks what there is to be seen."""
    config, state, settings = loaded.agent.config, loaded.agent.state, loaded.settings
    num_trained = config.algorithm.num_tasks
    check_worlds(repeats=options.repeats, episodes=settings.episodes)
    check_worlds(algorithm__num_tasks=num_trained, episodes=settings.episodes)
    member, task = rollout.row(loaded.env, loaded.tasks, options.task)
    repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (options.repeats, *x.shape)), task)
    trained_tasks = _training_tasks(loaded)
    key, key_trained = jax.random.split(jax.random.fold_in(loaded.key, options.task))

    def observe(env: MetaEnv | Suite, tasks: Any, key: Key, count: int) -> Seen:
        shape = (count, settings.episodes)
        return embedding.observe(loaded.agent.algorithm, env, state, tasks, key, shape, settings.steps)

    with console.waiting(f"adapting to task {options.task} and to {num_trained} tasks of training"):
        mine = interruptibly(lambda: observe(member, repeated, key, options.repeats))
        trained = interruptibly(lambda: observe(loaded.agent.env, trained_tasks, key_trained, num_trained))
    check, neighbours = _neighbours((member, task), _of_environment(loaded, trained_tasks, trained, member), mine)
    inner, inner_trained = (diagnosis.inner_gradients(config.algorithm, state, x.knowledge) for x in (mine, trained))
    checks = [
        diagnosis.check_adaptation(mine.returns),
        diagnosis.check_embedding(mine.knowledge[-1], trained.knowledge[-1]),
        check,
        diagnosis.check_entropy(mine.surprise, member.spec, config.policy.distribution == "tanh-gaussian"),
        diagnosis.check_gradients(read_metrics(options.run), inner, inner_trained, int(state.step)),
    ]
    return {
        "env": config.env,
        "task_env": member.spec.name,
        "task": options.task,
        "numbers": _named(member, jax.tree.map(lambda x: x[None], task), 0),
        "iteration": int(state.step),
        "seed": config.seed,
        "task_seed": settings.seed,
        "steps": settings.steps,
        "episodes": settings.episodes,
        "repeats": options.repeats,
        "training_tasks": num_trained,
        "checks": [{"name": x.name, "judgement": x.judgement} | x.numbers for x in checks],
        "neighbours": neighbours,
    }


def _training_tasks(loaded: Adapting) -> Any:
    """As many as an iteration has: those that the run keeps, or fresh ones from where it draws its own."""
    if loaded.agent.algorithm.kept_tasks is not None:
        return loaded.agent.algorithm.kept_tasks(loaded.agent.state)
    key = jax.random.fold_in(loaded.key, 2**31)  # beyond any task's number
    return rollout.sample_tasks(loaded.agent.env, key, loaded.agent.config.algorithm.num_tasks)


def _of_environment(loaded: Adapting, tasks: Any, seen: Seen, env: MetaEnv) -> tuple[MetaEnv, Any, Seen] | None:
    """Those of the training tasks that are of the same environment as `env`; None where none are."""
    trained = loaded.agent.env
    members, parts = (trained.envs, tasks) if isinstance(trained, Suite) else ((trained,), (tasks,))
    share = seen.returns.shape[1] // len(members)
    for index, (member, part) in enumerate(zip(members, parts, strict=True)):
        if member.spec.name == env.spec.name:
            return member, part, Seen(*(x[:, index * share : (index + 1) * share] for x in seen))
    return None


def _neighbours(own: tuple[MetaEnv, Any], like: tuple | None, mine: Seen) -> tuple[Check, list[dict[str, Any]]]:
    """The training tasks that are most like the task, with numbers to be shown."""
    if like is None:
        return Check("neighbours", f"No task of training is of {own[0].spec.name}.", {}), []
    env, tasks, seen = like
    numbers = embedding.describe_tasks(own[0], jax.tree.map(lambda x: x[None], own[1]), 1)[0][0][0]
    theirs = embedding.describe_tasks(env, tasks, seen.returns.shape[1])[0][0]
    check, found = diagnosis.find_neighbours(numbers, theirs, mine, seen)
    return check, [x._asdict() | {"numbers": _named(env, tasks, x.row)} for x in found]


def _named(env: MetaEnv, tasks: Any, row: int) -> dict[str, float]:
    """The numbers of one of the tasks that are to be shown: those that have names, else the first few."""
    task = jax.tree.map(lambda x: x[row : row + 1], tasks)
    raw = embedding.describe_tasks(env, task, 1)[0][0]
    numbers = embedding.named_numbers(env, task) or {f"number {i + 1}": raw[:, i] for i in range(min(4, raw.shape[1]))}
    return {name: float(column[0]) for name, column in numbers.items()}
