"""`metarl list`."""

import dataclasses

from .. import envs, names
from ..show import tables
from .options import parse


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """Everything that has a name: presets, environments, algorithms, networks, memories, physics backends."""


def run(argv: list[str]) -> int:
    """`metarl list`; returns the exit code."""
    parse(ListOptions, argv)
    tables.print_tables(
        {
            "Presets": names.PRESETS,
            "Environments": {name: entry.summary for name, entry in envs.ENVIRONMENTS.items()},
            "Options of environments": envs.OPTIONS,
            **envs.METAWORLD_NAMES,
            "Algorithms": names.ALGORITHMS,
            "Networks": names.NETWORKS,
            "Memories": names.MEMORIES,
            "Physics backends": envs.BACKENDS,
        }
    )
    return 0
