"""`metarl sweep`."""

import json

from .. import console, plots, runlog, sweep
from ..options import parse_sweep, parse_train


def run(argv: list[str]) -> int:
    options, train = parse_sweep(argv)
    cells = sweep.expand(options.out, train, options.grid, options.seeds)
    for cell in cells:
        parse_train(list(cell.argv))  # bad input shows before anything runs
    plan = {"train": train, "grid": list(options.grid), "seeds": list(options.seeds)}
    with runlog.readable_errors(options.out):
        sweep.claim(options.out, plan)
        waiting = sweep.unfinished(cells)
        print(f"{len(cells)} runs, {len(cells) - len(waiting)} of them finished", flush=True)
        if options.slurm:
            sweep.run_on_slurm(waiting, options.out, options.slurm_parameters)
        else:
            sweep.run_here(waiting, options.jobs, lambda line: print(line, flush=True))
        rows = sweep.table(cells)
        runlog.write_atomically(options.out / "table.json", json.dumps(rows, indent=2))
        if rows:
            plots.settings(rows, options.out / "table.png", options.out.name)
    console.print_sweep(rows)
    print(f"written: {options.out / 'table.json'} and {options.out / 'table.png'}")
    failed = sweep.unfinished(cells)
    for cell in failed:
        print(f"not finished: {cell.directory}; the same command goes on with it")
    return 1 if failed else 0
