"""`metarl paths`."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import tyro

from .. import evaluation, rollout
from ..errors import ConfigError
from ..runs import agents, runlog
from ..runs.files import check_place
from ..show import plots
from .adapting import load_adapting
from .choices import Checkpoint
from .options import check_ranges, parse, spell


@dataclasses.dataclass(frozen=True)
class PathsOptions:
    """Where a run's point goes on held-out tasks, before and after each adaptation step (or episode of a memory)."""

    run: tyro.conf.Positional[Path]
    """Run directory or agent:NAME, of an environment on the plane (point...)."""
    tasks: int = 5
    """Held-out tasks, a column each."""
    steps: int | None = None
    """Adaptation steps K, K + 1 rows; the run's own number where left out."""
    seed: int | None = None
    """Seed of the tasks; the run's `evaluation.seed` where left out."""
    checkpoint: Checkpoint = "latest"
    """`latest` or `best` (see `evaluation.every` of `metarl train`)."""
    out: Path | None = None
    """File to write, .png, .pdf or .svg; where left out RUN/plots/paths-iteration-N.png, and in its name what options
    change."""


def parse_options(argv: list[str]) -> PathsOptions:
    """The options of `metarl paths`; ConfigError or exit 2 on bad ones."""
    options = parse(PathsOptions, argv)
    if options.out is not None:
        plots.check_file(options.out)
        check_place(options.out.parent, "--out")
    check_ranges(options, {"tasks": (1, 21), "steps": (0, 20), "seed": (0, 2**32)})
    return options


def run(argv: list[str]) -> int:
    """`metarl paths`; returns the exit code."""
    options = parse_options(argv)
    config = agents.read_config(options.run)
    if not config.env.startswith("point"):
        raise ConfigError(f"the run was trained on {config.env!r}: only paths on the plane (point...) can be drawn.")
    loaded = load_adapting(options, "tasks", "steps", "seed")
    algorithm, env, settings = loaded.agent.algorithm, loaded.env, loaded.settings
    name = f"paths-iteration-{int(loaded.agent.state.step)}{spell(loaded.changes)}.png"
    out = options.out or agents.home(options.run) / "plots" / name

    @jax.jit
    def play(state, tasks, key):
        """The first of the episodes after each adaptation step: transitions `[K + 1, N, T]`."""
        key_adapt, key = jax.random.split(key)
        params, histories, _ = evaluation.adaptation(
            algorithm, env, state, tasks, key_adapt, loaded.shape, settings.steps
        )
        histories = jax.tree.map(lambda x: x[:, :, :1], histories)

        def episode(params, history, key):
            return rollout.run_episodes(env, algorithm.act(state, params), tasks, key, (options.tasks, 1), history)[1]

        played = jax.vmap(episode)(params, histories, jax.random.split(key, settings.steps + 1))
        return jax.tree.map(lambda x: x[:, :, 0], played)

    played = play(loaded.agent.state, loaded.tasks, loaded.key)
    paths = np.concatenate([played.obs_tm1, played.obs_t[:, :, -1:]], axis=2)
    with runlog.readable_errors(out.parent, "--out"):
        plots.paths(paths, np.asarray(loaded.tasks), np.asarray(played.reward_t.sum(axis=2)), out)
    print(f"written: {out}")
    return 0
