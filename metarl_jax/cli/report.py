"""`metarl report`."""

import dataclasses
from pathlib import Path

import tyro

from ..errors import ConfigError
from ..runs import files, report, runlog
from ..show.report import page
from .options import parse


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """One HTML file about runs, side by side: summary, configuration, curves, adaptation, tasks, films. It needs no network."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories, sweeps, or folders that hold runs; runs that differ in their seeds alone are one column."""
    out: Path = Path("report.html")
    """File to write."""


def run(argv: list[str]) -> int:
    options = parse(ReportOptions, argv)
    if not options.runs:
        raise ConfigError("name at least one run directory or sweep to report on.")
    if options.out.suffix != ".html":
        raise ConfigError(f"--out {options.out} must end in .html.")
    files.check_place(options.out.parent, "--out")
    entries = report.entries(report.find_runs(options.runs))
    title = f"{', '.join(entry.label for entry in entries)}"
    with runlog.readable_errors(options.out.parent, "--out"):
        files.write_atomically(options.out, page(title if len(title) < 120 else f"{len(entries)} settings", entries))
    print(f"written: {options.out}")
    return 0
