"""`metarl train`."""

import dataclasses
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .. import presets, sharding
from ..algorithms import find_algorithm
from ..config import ExperimentConfig
from ..envs.physics.mujoco import num_threads
from ..errors import ConfigError, lookup
from ..experiments import job
from ..experiments.job import Job
from ..runs import children, runlog, sweep, training
from ..runs.training import Run
from ..show import console
from . import hosts
from .options import check_once, check_ranges, options_in, read, spread, take


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Train a preset (the first argument; cheetah-dir-maml where left out), or resume a run."""

    config: Annotated[ExperimentConfig, tyro.conf.arg(name="")]
    algorithm: str | None = None
    """Another algorithm than the preset's, with its own defaults; its knobs are below."""
    scale: int = 1
    """Times as many environments at once, for a GPU: of --algorithm.num-tasks, or with ppo of --algorithm.envs-per-task."""
    run_dir: Path | None = None
    """Where the run goes; runs/PRESET-sSEED-TIME where left out. Must not hold anything yet."""
    resume: Path | None = None
    """Run directory to go on with; of its configuration, only --iterations, --schedule-iterations and --physics can change."""
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="0..7|0 1 2")] = ()
    """Several runs in one compiled program, one for each seed, in RUN_DIR/seed-N."""
    devices: int | None = None
    """Devices of each process to split the tasks over, or with --seeds the runs; on CPU, as many parts of it. One where left
    out; with --seeds as many as there are and can share them evenly."""
    log: tuple[Literal["wandb", "mlflow"], ...] = ()
    """Trackers that are told of metrics, too, by their own packages and settings. A resumed run goes on in those it is in."""
    distributed: bool = False
    """This is one of several processes that Slurm, Open MPI or Kubernetes started; they find each other."""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Process 0, where processes do not find each other; with --processes and --process-id."""
    processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """Which of them this is, from 0."""


def parse_train(argv: list[str]) -> TrainOptions:
    """The options of `metarl train [PRESET] [--resume RUN] [--field value ...]`; ConfigError or exit 2 on bad ones."""
    argv = list(argv)
    check_once(argv)
    # Before the values of --seeds are read: a seed of their own would do nothing.
    if {"--seeds", "--seed"} <= set(options_in(argv)):
        raise ConfigError("--seeds are the seeds: leave --seed out.")
    first = argv.pop(0) if argv and not argv[0].startswith("-") else None
    preset = take(argv, "--preset")
    if first is not None and preset is not None:
        raise ConfigError(f"two presets are given, {first} and {preset}: leave one out.")
    preset = first or preset
    resume = take(argv, "--resume")
    spread(argv, "--seeds")
    algorithm = take(argv, "--algorithm")  # whose knobs are options: before they are read
    if resume is None:
        default = lookup(presets.DEFAULT if preset is None else preset, presets.PRESETS, "preset").config
    elif preset is not None:
        raise ConfigError(f"--resume {resume} goes on with that run's configuration: leave the preset {preset!r} out.")
    else:
        default = before = runlog.read_config_to_resume(Path(resume))
    if algorithm is not None:
        default = dataclasses.replace(default, algorithm=find_algorithm(algorithm).config)

    prog = f"metarl train {preset or '[PRESET]'} [--algorithm NAME]"
    options = read(TrainOptions, argv, prog, TrainOptions(default))
    options = dataclasses.replace(options, config=presets.scaled(options.config, options.scale))
    if resume is not None:
        if options.run_dir is not None:
            raise ConfigError(
                f"--resume {resume} goes on in that directory: run_dir cannot change, leave --run-dir out."
            )
        config = job.going_on(before, options.config)
        options = dataclasses.replace(options, resume=Path(resume), config=config)
    return _checked(options)


def _checked(options: TrainOptions) -> TrainOptions:
    """ConfigError where options do not go together."""
    number, count = options.process_id, options.processes
    given = [x is not None for x in (options.coordinator, count, number)]
    if any(given) and (not all(given) or options.distributed):
        raise ConfigError("--coordinator, --processes and --process-id go together, and instead of --distributed.")
    if number is not None and count is not None and not 0 <= number < count:
        raise ConfigError(f"--process-id must lie in [0, {count - 1}], not {number}.")
    address = re.fullmatch(r"(?:[^\s:]+|\[[\da-fA-F:]+\]):(\d{1,5})", options.coordinator or "host:1")
    if address is None or not 0 < int(address[1]) < 2**16:
        raise ConfigError(f"--coordinator must be HOST:PORT, not {options.coordinator!r}.")
    check_ranges(options, {"devices": (1, 1025)})
    if (any(given) or options.distributed) and options.resume is None and options.run_dir is None:
        raise ConfigError("several processes need the same --run-dir.")
    if options.seeds and options.resume is not None:
        raise ConfigError("--seeds begins runs: resume each of them by itself.")
    if options.seeds and (any(given) or options.distributed):
        raise ConfigError("--seeds trains in one process: give each process a --seed of its own instead.")
    return options


def run(argv: list[str]) -> int:
    """`metarl train`; returns the exit code."""
    started = time.perf_counter()
    children.end_with_parent()
    options = parse_train(argv)
    todo = Job(
        options.config, _directory(options), options.resume is not None, options.seeds, options.devices, options.log
    )
    several = options.distributed or options.coordinator is not None
    if not several:  # else the first one checks, once they have found each other
        job.check_directories(todo)
    job.warn(todo)
    sharding.use_parts_of_cpu(todo.devices_of(num_threads()))
    if several:
        if not hosts.is_child():
            return hosts.watch(argv, todo.directory)
        hosts.end_with_parent()
        sharding.connect(options.coordinator, options.processes, options.process_id)
    prepared = job.prepare(todo)
    try:
        with job.opened(todo) as runs, hosts.fail_at_once(todo.directory):
            summaries = job.run(runs, prepared, console.training_bar, started)
    except training.TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return hosts.leave(1)
    except training.Interrupted as stop:
        for config in todo.configs():
            where = shlex.quote(str(todo.directory_of(config.seed)))
            print(f"saved at iteration {stop.iteration}; continue with: metarl train --resume {where}")
        return 128 + stop.signal
    for summary, each in zip(summaries, runs, strict=bool(summaries)):
        console.print_summary(summary, each.log.directory)
    if summaries:
        _end(runs)
    return 0


def _directory(options: TrainOptions) -> Path:
    return options.resume or options.run_dir or console.default_run_dir(options.config)


def _end(runs: list[Run]) -> None:
    """One table over several seeds, and what to do next."""
    if len(runs) > 1:
        rows = sweep.table([sweep.Cell({}, each.config.seed, each.log.directory, ()) for each in runs])
        console.print_sweep(rows, sweep.words(rows))
    where = shlex.quote(str(runs[0].log.directory))
    print(f"next: metarl evaluate {where}, metarl video {where}")
