"""`metarl export`."""

import dataclasses
import re
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import ConfigError
from ..experiments.parts import make_env, restore
from ..runs import agents, runlog
from ..runs.files import check_place
from .choices import Checkpoint
from .options import parse


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Make an agent of a run: what acts and adapts, its configuration, and a card with its figures, in DIR/NAME.

    `metarl evaluate DIR/NAME`, `video`, `adapt`, `embed` and `paths` take it as they take a run.
    """

    run: tyro.conf.Positional[Path]
    """Run directory."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Of the agent; the run's preset where left out."""
    out: Path = Path()
    """Directory to write it in."""
    checkpoint: Checkpoint = "latest"
    """`latest` or `best` (see `evaluation.every` of `metarl train`)."""


def run(argv: list[str]) -> int:
    options = parse(ExportOptions, argv)
    check_place(options.out, "--out")
    config = runlog.read_config(options.run)
    name = options.name or config.preset
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise ConfigError(f"--name {name!r}: take letters, digits, -, _ and dots.")
    directory = options.out / name
    if directory.exists():
        raise ConfigError(f"{directory} exists: choose another --name or --out.")
    env = make_env(config, "train")
    algorithm, state = restore(options.run, config, env, options.checkpoint)
    card = agents.make_card(name, options.run, config, int(state.step))
    with runlog.readable_errors(options.out, "--out"):
        agents.write(directory, card, agents.arrays_to_act(algorithm, env, state))
    print(agents.in_words(agents.read(directory)))
    print(f"written: {directory}")
    return 0
