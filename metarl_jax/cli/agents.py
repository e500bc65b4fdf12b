"""`metarl agents`."""

import dataclasses
import json
from pathlib import Path

import tyro

from ..errors import ConfigError
from ..runs import agents
from ..show import tables
from .options import parse


@dataclasses.dataclass(frozen=True)
class AgentsOptions:
    """The agents that come with the package, which `evaluate`, `video` and others take as agent:NAME; or one agent's card."""

    agent: tyro.conf.Positional[Path | None] = None
    """agent:NAME, or the directory of one that you exported: prints its card."""


def run(argv: list[str]) -> int:
    options = parse(AgentsOptions, argv)
    if options.agent is None:
        found = {name: agents.in_words(agents.read(directory)) for name, directory in agents.shipped().items()}
        tables.print_tables({"Agents": found})
        return 0
    directory = agents.find(options.agent)
    if directory is None:
        raise ConfigError(f"{options.agent} is no agent: name agent:NAME, or a directory that `metarl export` wrote.")
    print(json.dumps(agents.read(directory).card, indent=2))
    return 0
