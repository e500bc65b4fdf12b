"""`metarl train`."""

import contextlib
import dataclasses
import re
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import jax
import tyro

from .. import presets, sharding
from ..algorithms import ALGORITHMS, make_algorithm
from ..config import ExperimentConfig, changed_fields
from ..envs import physics
from ..envs.physics.mujoco import num_threads
from ..errors import ConfigError, lookup, nearest_divisors
from ..runs import children, judging, runlog, sweep, training
from ..runs.memory import TooLarge, check_replay
from ..runs.runlog import RunLog, SilentLog
from ..runs.training import Run
from ..show import console
from . import hosts
from .load import make_envs
from .options import check_once, check_ranges, check_seeds, options_in, read, spread, take


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
        default = dataclasses.replace(default, algorithm=lookup(algorithm, ALGORITHMS, "algorithm").config)

    prog = f"metarl train {preset or '[PRESET]'} [--algorithm NAME]"
    options = read(TrainOptions, argv, prog, TrainOptions(default))
    options = dataclasses.replace(options, config=presets.scaled(options.config, options.scale))
    if resume is not None:
        changed = set(changed_fields(before, options.config)) - runlog.MAY_CHANGE
        if changed or options.run_dir:
            names = ", ".join(sorted(changed | ({"run_dir"} if options.run_dir else set())))
            raise ConfigError(
                f"a resumed run keeps its configuration: {names} cannot change (only iterations, schedule_iterations and "
                "physics can)."
            )
        config = _with_the_end_of_schedules(before, options.config)
        options = dataclasses.replace(options, resume=Path(resume), config=config)
    return _checked(options)


def _with_the_end_of_schedules(before: ExperimentConfig, config: ExperimentConfig) -> ExperimentConfig:
    """A resumed run's configuration: its schedules end where they did `before`, unless it says where they are to."""
    if config.iterations == before.iterations or config.schedule_iterations != before.schedule_iterations:
        return config
    return dataclasses.replace(config, schedule_iterations=before.schedule_length)


def _say_what_schedules_do(config: ExperimentConfig) -> None:
    """A line on standard error where schedules end before the run does."""
    # Of maml-trpo neither is there, of reptile no update.
    optimizer, update = (getattr(config.algorithm, name, None) for name in ("optimizer", "update"))
    moving = []
    if optimizer and optimizer.lr_schedule != "constant":
        moving.append(f"the learning rate stays at {optimizer.lr * optimizer.lr_final:g}")
    if update and update.entropy_coef != update.entropy_coef_final:
        moving.append(f"the entropy bonus at {update.entropy_coef_final:g}")
    if moving and config.schedule_length < config.iterations:
        print(
            f"schedules end at iteration {config.schedule_length}: from there {', '.join(moving)}; "
            f"--schedule-iterations {config.iterations} stretches them over the whole run",
            file=sys.stderr,
        )


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
    check_seeds(options.seeds)
    if options.seeds and options.devices and len(options.seeds) % options.devices:
        fitting = nearest_divisors(len(options.seeds), options.devices)
        raise ConfigError(
            f"--seeds: {len(options.seeds)} runs cannot be split evenly over {options.devices} devices: take {fitting}."
        )
    return options


def run(argv: list[str]) -> int:
    """`metarl train`; returns the exit code."""
    started = time.perf_counter()
    children.end_with_parent()
    options = parse_train(argv)
    config = options.config
    _check_directories(options)
    _say_what_schedules_do(config)
    if options.resume and not getattr(config.algorithm, "checkpoint_replay", True):
        print("checkpoints of this run hold no replay: it is filled anew before learning goes on", file=sys.stderr)
    sharding.use_parts_of_cpu(_devices(options, num_threads()))
    if options.distributed or options.coordinator:
        if not hosts.is_child():
            run_dir = options.resume or options.run_dir
            assert run_dir is not None  # see `_checked`
            return hosts.watch(argv, run_dir)
        hosts.end_with_parent()
        sharding.connect(options.coordinator, options.processes, options.process_id)
    devices = _devices(options, jax.local_device_count())
    mesh = sharding.make_mesh(devices, sharding.SEED if options.seeds else sharding.TASK)
    env, eval_env = make_envs(config)
    sharding.check_divides(config.algorithm.num_tasks, mesh, env, "algorithm.num_tasks")
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.schedule_length)
    check_replay(jax.eval_shape(algorithm.init, jax.random.key(0)), len(options.seeds or (0,)), mesh)
    judge = judging.make_judge(config, algorithm, env, eval_env)
    base = options.run_dir or console.default_run_dir(config)
    with contextlib.ExitStack() as stack:
        runs = [Run(one, stack.enter_context(_open(options, base, one))) for one in _configs(options)]
        stack.enter_context(hosts.fail_at_once(runs[0].log.directory))
        try:
            summaries = _train(runs, algorithm, judge, mesh, started)
        except training.TrainingError as error:
            print(f"error: {error}", file=sys.stderr)
            return hosts.leave(1)
        except training.Interrupted as stop:
            for each in runs:
                where = shlex.quote(str(each.log.directory))
                print(f"saved at iteration {stop.iteration}; continue with: metarl train --resume {where}")
            return 128 + stop.signal
    for summary, each in zip(summaries, runs, strict=bool(summaries)):
        console.print_summary(summary, each.log.directory)
    if summaries:
        _end(runs)
    return 0


def _end(runs: list[Run]) -> None:
    """One table over several seeds, and what to do next."""
    if len(runs) > 1:
        rows = sweep.table([sweep.Cell({}, each.config.seed, each.log.directory, ()) for each in runs])
        console.print_sweep(rows, sweep.words(rows))
    where = shlex.quote(str(runs[0].log.directory))
    print(f"next: metarl evaluate {where}, metarl video {where}")


def _devices(options: TrainOptions, there: int) -> int:
    if options.devices is not None:
        return options.devices
    return sharding.most_even(len(options.seeds), there) if options.seeds else 1


def _train(runs: list[Run], algorithm, judge, mesh, started: float) -> list[dict]:
    """All runs in one program; where they do not fit into memory together, one after the other."""

    def together(runs: list[Run], mesh, started: float | None) -> list[dict]:
        if not sharding.is_first_process():
            return training.train(runs, algorithm, judge, lambda row: None, mesh, started)
        with console.training_bar(runs[0].config) as progress:
            watched = _with_complaints(progress, runs[0].config.checkpoint_every)
            return training.train(runs, algorithm, judge, watched, mesh, started)

    try:
        return together(runs, mesh, started)
    except TooLarge as error:
        print(f"{error}: they are trained one after the other", file=sys.stderr)
        return [summary for each in runs for summary in together([each], sharding.make_mesh(1), None)]


def _with_complaints(progress: Callable[[dict], None], every: int) -> Callable[[dict], None]:
    """`progress`, and at checkpoints what the simulator has to say."""

    def tell(row: dict) -> None:
        progress(row)
        if row["iteration"] % every == 0:
            for complaint in physics.complaints():
                print(f"warning: {complaint}", file=sys.stderr)

    return tell


def _configs(options: TrainOptions) -> list:
    """A configuration for each seed."""
    return [dataclasses.replace(options.config, seed=seed) for seed in options.seeds or (options.config.seed,)]


def _check_directories(options: TrainOptions) -> None:
    """ConfigError where the runs cannot go where they are to, before anything is made or compiled."""
    runlog.check_open_files(len(options.seeds))
    if options.run_dir is None or options.distributed or options.coordinator:
        return  # of several processes the first one checks, once they have found each other
    for seed in options.seeds or (options.config.seed,):
        runlog.check_unused(_directory(options, options.run_dir, seed))


def _directory(options: TrainOptions, base: Path, seed: int) -> Path:
    """Of the run of a seed; `base` is that of the command."""
    if options.resume is not None:
        return options.resume
    return base / f"seed-{seed}" if options.seeds else base


def _open(options: TrainOptions, base: Path, config) -> contextlib.AbstractContextManager[RunLog | SilentLog]:
    """Where a run is written; processes other than the first leave that to it."""
    directory = _directory(options, base, config.seed)
    if not sharding.is_first_process():
        return SilentLog(directory)
    return RunLog.create(directory, config) if options.resume is None else RunLog.resume(directory)
