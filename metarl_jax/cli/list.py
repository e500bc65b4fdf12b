"""`metarl list`."""

import dataclasses

from .. import envs, names, plugins
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
            **envs.ADAPTED_NAMES,
            **_installed("Environments that installed packages bring", plugins.ENVIRONMENTS),
            "Algorithms": names.ALGORITHMS,
            **_installed("Algorithms that installed packages bring", plugins.ALGORITHMS),
            "Networks": names.NETWORKS,
            "Memories": names.MEMORIES,
            "Physics backends": envs.BACKENDS,
        }
    )
    return 0


def _installed(title: str, group: str) -> dict[str, dict[str, str]]:
    """A table of entry points, where there are any."""
    found = plugins.named(group)
    return {title: found} if found else {}
