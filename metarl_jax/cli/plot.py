"""`metarl plot`."""

import dataclasses
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import tyro

from ..config import to_json
from ..errors import ConfigError
from ..runs import runlog
from ..runs.files import check_place
from ..runs.metrics import read_mended
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
    """Runs of one configuration but for the seed, together; each named by its preset or, where these are the same, its path."""
    groups: dict[str, list[Path]] = {}
    presets: dict[str, str] = {}
    for directory in directories:
        config = runlog.read_config(directory)
        key = to_json(dataclasses.replace(config, seed=0))
        same = groups.setdefault(key, [])
        if directory.resolve() in [other.resolve() for other in same]:
            raise ConfigError(f"{directory} is named twice: leave one out.")
        same.append(directory)
        presets[key] = config.preset
    names = list(presets.values())
    if len(set(names)) < len(names):
        names = distinct([Path(os.path.commonpath([d.resolve() for d in same])) for same in groups.values()])
    settings = []
    for name, same in zip(names, groups.values(), strict=True):
        runs = {label: read_mended(d) for label, d in zip(distinct(same), same, strict=True)}
        for label, rows in runs.items():
            if not rows:
                raise ConfigError(f"{label} has no metrics yet.")
        settings.append(Setting(name, list(runs.values())))
    return settings


def distinct(paths: Sequence[Path]) -> list[str]:
    """Names of different paths: what is left of each without the parts that all of them begin and end with."""
    parts = [path.resolve().parts for path in paths]
    begin = _num_shared(parts)
    ends = [part[begin:] for part in parts]
    end = _num_shared([part[::-1] for part in ends])
    return ["/".join(part[: len(part) - end]) or path.name for part, path in zip(ends, paths, strict=True)]


def _num_shared(rows: Sequence[Sequence[str]]) -> int:
    """How many first items are the same in all rows."""
    columns = zip(*rows, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, columns))
