"""`metarl train`."""

import contextlib
import dataclasses
import os
import sys

import jax

from .. import console, sharding, training
from ..algorithms import make_algorithm
from ..options import TrainOptions, parse_train
from ..runlog import RunLog, SilentLog
from ..training import Run
from ..window import TooLarge
from . import hosts
from .runs import make_env


def run(argv: list[str]) -> int:
    options = parse_train(argv)
    config = options.config
    sharding.use_parts_of_cpu(options.devices)
    if options.distributed or options.coordinator:
        if not hosts.is_child():
            return hosts.watch(argv, options.resume or options.run_dir)
        hosts.end_with_parent()
        sharding.connect(options.coordinator, options.processes, options.process_id)
    mesh = sharding.make_mesh(options.devices)
    env, eval_env = make_env(config, "train"), make_env(config, "test")
    sharding.check_divides(config.algorithm.num_tasks, mesh, env, "algorithm.num_tasks")
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.iterations)
    with contextlib.ExitStack() as stack:
        runs = [Run(one, stack.enter_context(_open(options, one))) for one in _configs(options)]
        try:
            summaries = _train(runs, algorithm, eval_env, mesh)
        except training.TrainingError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except training.Interrupted as stop:
            where = ", ".join(str(each.log.directory) for each in runs)
            print(f"saved at iteration {stop.iteration}; continue with: metarl train --resume {where}")
            return 128 + stop.signal
        except jax.errors.JaxRuntimeError as error:
            if not sharding.is_loss_of_process(error):
                raise
            print(hosts.lost(runs[0].log.directory, str(error).splitlines()[0]), file=sys.stderr, flush=True)
            os._exit(1)  # an orderly end would wait for it
    for summary, each in zip(summaries, runs, strict=bool(summaries)):
        console.print_summary(summary, each.log.directory)
    return 0


def _train(runs: list[Run], algorithm, eval_env, mesh) -> list[dict]:
    """All runs in one program; where they do not fit into memory together, one after the other."""

    def together(runs: list[Run]) -> list[dict]:
        if not sharding.is_first_process():
            return training.train(runs, algorithm, eval_env, lambda row: None, mesh)
        with console.Progress(runs[0].config) as progress:
            return training.train(runs, algorithm, eval_env, progress, mesh)

    try:
        return together(runs)
    except TooLarge as error:
        print(f"{error}: they are trained one after the other", file=sys.stderr)
        return [summary for each in runs for summary in together([each])]


def _configs(options: TrainOptions) -> list:
    """A configuration for each seed."""
    return [dataclasses.replace(options.config, seed=seed) for seed in options.seeds or (options.config.seed,)]


def _open(options: TrainOptions, config) -> RunLog | SilentLog:
    """Where a run is written; processes other than the first leave that to it."""
    if options.resume is not None:
        directory = options.resume
    else:
        directory = options.run_dir or console.default_run_dir(options.config)
        directory = directory / f"seed-{config.seed}" if options.seeds else directory
    if not sharding.is_first_process():
        return SilentLog(directory)
    return RunLog.create(directory, config) if options.resume is None else RunLog.resume(directory)
