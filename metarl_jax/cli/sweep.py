"""`metarl sweep`."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import ConfigError, check_seeds
from ..experiments import parts
from ..runs import files, runlog, sweep
from ..show import console, plots
from .options import check_ranges, parse, spread
from .train import parse_train


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """Run a grid over the configuration: metarl sweep PRESET --out DIR --grid FIELD=A,B ... [-- options of metarl train].

    A process for each run, in DIR/SETTINGS/seed-N. The same command again goes on where it ended. At the end DIR/table.json
    and DIR/table.png.
    """

    preset: tyro.conf.Positional[str]
    """Preset to begin with."""
    out: Path
    """Directory of the sweep."""
    grid: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="FIELD=A,B")] = ()
    """An axis, for example algorithm.inner.lr=0.05,0.1; once for each."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="0..7|0 1 2")] = (0,)
    """Seeds of every setting."""
    jobs: int = 1
    """Processes at once on this machine."""
    slurm: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """Submit to Slurm instead, with these parameters of submitit, for example timeout_min=60 slurm_partition=gpu."""

    @property
    def slurm_parameters(self) -> dict[str, int | str]:
        """Numbers as such."""
        pairs = (word.partition("=") for word in self.slurm)
        return {name: int(value) if value.isdigit() else value for name, _, value in pairs}


def parse_sweep(argv: list[str]) -> tuple[SweepOptions, list[str]]:
    """The options of `metarl sweep`, and preset and options that all its runs share; ConfigError or exit 2 on bad ones."""
    argv, common = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (list(argv), [])
    spread(argv, "--seeds")
    options = parse(SweepOptions, argv)
    check_ranges(options, {"jobs": (1, 1025)})
    check_seeds(options.seeds)
    if not options.seeds:
        raise ConfigError("--seeds needs at least one.")
    named = {word.partition("=")[0].removeprefix("--").replace("_", "-") for word in common if word.startswith("--")}
    if taken := [f"--{name}" for name in sweep.OWN & named]:
        raise ConfigError(f"{', '.join(sorted(taken))} after -- is the sweep's own matter.")
    if any("=" not in word for word in options.slurm):
        raise ConfigError(f"--slurm {' '.join(options.slurm)}: write name=value ...")
    return options, [options.preset, *common]


def run(argv: list[str]) -> int:
    """`metarl sweep`; returns the exit code."""
    options, train = parse_sweep(argv)
    cells = sweep.expand(options.out, train, options.grid, options.seeds)
    settings = list({cell.name: cell for cell in reversed(cells)}.values())[
        ::-1
    ]  # those of a seed differ in nothing else
    # Bad input shows before anything runs.
    configs = [parse_train(list(cell.argv)).config for cell in settings]
    sweep.check_distinct(settings, configs)
    for config in configs if not options.slurm else ():  # whose machines may have other backends
        parts.check(config)
    slurm = sweep.slurm_executor(options.out, options.slurm_parameters) if options.slurm else None
    plan = {"train": train, "grid": list(options.grid), "seeds": list(options.seeds)}
    with runlog.readable_errors(options.out, "--out"):
        sweep.claim(options.out, plan)
        waiting = sweep.unfinished(cells)
        print(f"{len(cells)} runs, {len(cells) - len(waiting)} of them finished", flush=True)
        if slurm is not None:
            sweep.run_on_slurm(waiting, slurm)
        else:
            sweep.run_here(waiting, options.jobs, lambda line: print(line, flush=True))
        rows = sweep.table(cells)
        files.write_atomically(options.out / "table.json", json.dumps(rows, indent=2))
        if rows:
            title = f"{options.out.name}: {sweep.words(rows)}"
            plots.settings(rows, list(cells[0].settings), options.out / "table.png", title)
    console.print_sweep(rows, sweep.words(rows))
    print(f"written: {options.out / 'table.json'} and {options.out / 'table.png'}")
    failed = sweep.unfinished(cells)
    for cell in failed:
        print(f"not finished: {cell.directory}; the same command goes on with it")
    return 1 if failed else 0
