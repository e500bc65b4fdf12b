"""`metarl embed`."""

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from ..errors import ConfigError
from ..runs import agents, embedding, runlog
from ..runs.files import check_place
from ..runs.signals import interruptibly
from ..show import console, embeddings
from .adapting import load_adapting
from .choices import Checkpoint
from .options import check_ranges, parse, spell


@dataclasses.dataclass(frozen=True)
class EmbedOptions:
    """What an agent knows of held-out tasks after each adaptation step: its belief, its memory, or its parameters.

    A table of how that lies to what the tasks are, a figure in RUN/plots, JSON in RUN/eval.
    """

    run: tyro.conf.Positional[Path]
    """Run directory, or agent:NAME."""
    tasks: int | None = None
    """Tasks; the run's `evaluation.tasks` where left out."""
    episodes: int | None = None
    """Episodes of each task that an adaptation step sees; as `metarl evaluate` takes them where left out."""
    steps: int | None = None
    """Adaptation steps K, a panel each; as `metarl evaluate` takes them where left out."""
    method: Literal["pca", "tsne"] = "pca"
    """Of the figure: principal components, or t-SNE (`pip install 'metarl-jax[tsne]'`). The table is of the whole embedding."""
    seed: int | None = None
    """Seed of the tasks; the run's `evaluation.seed` where left out."""
    checkpoint: Checkpoint = "latest"
    """`latest` or `best` (see `evaluation.every` of `metarl train`)."""
    out: Path | None = None
    """Directory for eval/ and plots/; the run's own where left out."""


def parse_options(argv: list[str]) -> EmbedOptions:
    """The options of `metarl embed`; ConfigError or exit 2 on bad ones."""
    options = parse(EmbedOptions, argv)
    if options.out is not None:
        check_place(options.out, "--out")
    check_ranges(options, {"tasks": (3, 2**20), "episodes": (1, 2**20), "steps": (1, 20), "seed": (0, 2**32)})
    if options.method == "tsne" and importlib.util.find_spec("sklearn") is None:
        raise ConfigError("--method tsne needs scikit-learn: pip install 'metarl-jax[tsne]'.")
    return options


def run(argv: list[str]) -> int:
    """`metarl embed`; returns the exit code."""
    options = parse_options(argv)
    loaded = load_adapting(options, "tasks", "episodes", "steps", "seed")
    env, settings = loaded.env, loaded.settings
    config, algorithm, state = loaded.agent.config, loaded.agent.algorithm, loaded.agent.state
    if algorithm.knowledge is None or not settings.steps:
        raise ConfigError(
            f"{config.algorithm.name} does not adapt in this run: of a task it knows what it knows of all."
        )

    asked = algorithm, env, state, loaded.tasks, loaded.key, loaded.shape, settings.steps
    with console.waiting(f"adapting to {settings.tasks} tasks"):
        points = interruptibly(lambda: embedding.observe(*asked).knowledge)
    found = embedding.Embedding(points, *embedding.describe_tasks(env, loaded.tasks, settings.tasks))
    rows = embedding.relations(found)
    embeddings.print_relations(rows, f"{config.preset}: correlation of what it knows with {settings.tasks} tasks")
    out, name = options.out or agents.home(options.run), f"embedding-iteration-{int(state.step)}"
    name += spell(loaded.changes | ({"method": "tsne"} if options.method == "tsne" else {}))
    report = {"env": config.env, "iteration": int(state.step), "seed": config.seed, "task_seed": settings.seed}
    report |= {"episodes": settings.episodes, "relations": rows, "families": found.families}
    report |= {"tasks": [x.tolist() for x in found.tasks], "points": points.tolist()}
    written = out / "eval" / f"{name}.json", out / "plots" / f"{name}.png"
    with runlog.readable_errors(out, "--out"):
        runlog.write_atomically(written[0], json.dumps(report))
        _draw(found, _colours(env, loaded.tasks, found), options.method, written[1])
    print("written: " + " and ".join(map(str, written)))
    return 0


def _colours(env: Any, tasks: Any, found: embedding.Embedding) -> tuple[np.ndarray, str]:
    """A number of each task, and what it is: the first that has a name."""
    named = embedding.named_numbers(env, tasks)
    what = next(iter(named), "the task's first number")
    return named.get(what, found.tasks[0][:, 0]), what


def _draw(found: embedding.Embedding, colours: tuple[np.ndarray, str], method: str, path: Path) -> None:
    """A panel for each step after the first point, where all tasks are one."""
    later = found.points[1:]
    if method == "tsne":
        from sklearn.manifold import TSNE

        flat = later.reshape(-1, later.shape[-1])
        perplexity = min(30.0, (len(flat) - 1) / 3.0)
        placed = (
            TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(flat).reshape(*later.shape[:2], 2)
        )
        axes = ["t-SNE 1", "t-SNE 2"]
    else:
        placed, share = embedding.principal(later)
        axes = [f"component {i + 1} ({100 * share[i]:.0f} % of the variance)" for i in range(2)]
    numbers, what = colours
    embeddings.scatter(placed, numbers, found.families, [*axes, what], path)
