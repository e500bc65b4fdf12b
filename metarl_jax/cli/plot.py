"""`metarl plot`."""

import dataclasses
from pathlib import Path

import tyro

from ..errors import ConfigError
from ..runs import runlog
from ..runs.metrics import read_mended
from ..show import plots
from .options import parse


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """Learning curves of one or several runs in one figure."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories."""
    out: Path = Path("learning.png")
    """PNG to write."""


def run(argv: list[str]) -> int:
    options = parse(PlotOptions, argv)
    if not options.runs:
        raise ConfigError("name at least one run directory to plot.")
    runs = {}
    for directory in options.runs:
        config = runlog.read_config(directory)
        rows = read_mended(directory)
        if not rows:
            raise ConfigError(f"{directory} has no metrics yet.")
        label = f"{config.preset} seed {config.seed}"
        runs[label if label not in runs else f"{label} ({directory.name})"] = rows
    with runlog.readable_errors(options.out.parent):
        plots.learning_curves(runs, options.out)
    print(f"written: {options.out}")
    return 0
