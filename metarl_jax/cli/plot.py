"""`metarl plot`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro

from ..errors import ConfigError
from ..runs import runlog
from ..runs.files import check_place
from ..runs.metrics import read_mended
from ..runs.settings import by_setting, distinct
from ..show import plots
from ..show.plots import Setting
from .options import parse


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """Learning curves of one or several runs in one figure; runs that differ in their seeds alone are one setting."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories."""
    out: Path = Path("learning.png")
    """File to write: .png, .pdf or .svg."""


def run(argv: list[str]) -> int:
    """`metarl plot`; returns the exit code."""
    options = parse(PlotOptions, argv)
    if not options.runs:
        raise ConfigError("name at least one run directory to plot.")
    plots.check_file(options.out)
    check_place(options.out.parent, "--out")
    settings = _settings(options.runs)
    with runlog.readable_errors(options.out.parent, "--out"):
        plots.learning_curves(settings, options.out)
    print(f"written: {options.out}")
    return 0


def _settings(directories: Sequence[Path]) -> list[Setting]:
    """Runs of one configuration but for the seed, together."""
    settings = []
    for name, same in by_setting(directories).items():
        runs = {label: read_mended(d) for label, d in zip(distinct(same), same, strict=True)}
        for label, rows in runs.items():
            if not rows:
                raise ConfigError(f"{label} has no metrics yet.")
        settings.append(Setting(name, list(runs.values())))
    return settings
