"""`metarl list`."""

import dataclasses

from .. import envs
from ..algorithms import ALGORITHMS
from ..envs.physics import BACKENDS
from ..networks import MEMORIES, NETWORKS
from ..presets import PRESETS
from ..show import console
from .options import parse


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """Everything that has a name: presets, environments, algorithms, networks, memories, physics backends."""


def run(argv: list[str]) -> int:
    parse(ListOptions, argv)
    console.print_tables(
        {
            "Presets": {name: preset.summary for name, preset in PRESETS.items()},
            "Environments": {name: entry.summary for name, entry in envs.ENVIRONMENTS.items()},
            **envs.METAWORLD_NAMES,
            "Algorithms": {name: entry.summary for name, entry in ALGORITHMS.items()},
            "Networks": {name: summary for name, (_, summary) in NETWORKS.items()},
            "Memories": {name: summary for name, (_, summary) in MEMORIES.items()},
            "Physics backends": BACKENDS,
        }
    )
    return 0
