"""`metarl list`."""

from .. import console, envs
from ..algorithms import ALGORITHMS
from ..envs.physics import BACKENDS
from ..networks import MEMORIES, NETWORKS
from ..options import ListOptions, parse
from ..presets import PRESETS


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
