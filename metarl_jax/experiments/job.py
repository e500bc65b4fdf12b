"""A job: one run, or several that differ in their seeds, from a configuration to what they leave behind."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from .. import sharding
from ..algorithms import make_algorithm
from ..config import ExperimentConfig, changed_fields
from ..envs import physics
from ..errors import ConfigError, check_seeds, nearest_divisors
from ..runs import judging, runlog, trackers, training
from ..runs.judging import Judge
from ..runs.memory import TooLarge, check_replay
from ..runs.runlog import RunLog, SilentLog
from ..types import Algorithm
from .parts import make_envs

Row = dict[str, Any]  # of metrics
# Of a configuration: what holds something that is told of rows while the run lasts.
Bar = Callable[[ExperimentConfig], AbstractContextManager[Callable[[Row], None]]]


@dataclasses.dataclass(frozen=True)
class Job:
    """What to train, and where to."""

    config: ExperimentConfig
    directory: Path
    """Of the run; with seeds of them all, each in seed-N."""
    resume: bool = False
    """Whether the run is there and goes on."""
    seeds: tuple[int, ...] = ()
    """Several runs in one compiled program, one for each; () is one run, of the configuration's seed."""
    devices: int | None = None
    """Devices to split the tasks over, or with seeds the runs. None: one, with seeds as many as can share them evenly."""

    log: tuple[str, ...] = ()
    """Trackers that are told of metrics (see runs/trackers.py), beside those that a resumed run is in already."""

    def __post_init__(self):
        check_seeds(self.seeds)
        trackers.check(self.log)
        if self.seeds and self.devices and len(self.seeds) % self.devices:
            fitting = nearest_divisors(len(self.seeds), self.devices)
            raise ConfigError(
                f"--seeds: {len(self.seeds)} runs cannot be split evenly over {self.devices} devices: take {fitting}."
            )

    def configs(self) -> list[ExperimentConfig]:
        """A configuration for each seed."""
        return [dataclasses.replace(self.config, seed=seed) for seed in self.seeds or (self.config.seed,)]

    def directory_of(self, seed: int) -> Path:
        """Where the run of a seed goes."""
        return self.directory / f"seed-{seed}" if self.seeds else self.directory

    def devices_of(self, there: int) -> int:
        """How many devices it takes where `there` are as many."""
        if self.devices is not None:
            return self.devices
        return sharding.most_even(len(self.seeds), there) if self.seeds else 1


class Prepared(NamedTuple):
    """What a job is done with."""

    algorithm: Algorithm
    judge: Judge
    mesh: Mesh


def going_on(before: ExperimentConfig, config: ExperimentConfig) -> ExperimentConfig:
    """The configuration of a run that is resumed with `config`; ConfigError where what cannot change does.

    Schedules end where they did `before`, unless it says where they are to.
    """
    if changed := sorted(set(changed_fields(before, config)) - runlog.MAY_CHANGE):
        raise ConfigError(
            f"a resumed run keeps its configuration: {', '.join(changed)} cannot change (only iterations, schedule_iterations "
            "and physics can)."
        )
    if config.iterations == before.iterations or config.schedule_iterations != before.schedule_iterations:
        return config
    return dataclasses.replace(config, schedule_iterations=before.schedule_length)


def check_directories(job: Job) -> None:
    """ConfigError where the runs cannot go where they are to, before anything is made or compiled."""
    runlog.check_open_files(len(job.seeds))
    for config in () if job.resume else job.configs():
        runlog.check_unused(job.directory_of(config.seed))


def warn(job: Job) -> None:
    """Lines on standard error: where schedules end before the run does, and where a resumed run has no replay."""
    config = job.config
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
    if job.resume and not getattr(config.algorithm, "checkpoint_replay", True):
        print("checkpoints of this run hold no replay: it is filled anew before learning goes on", file=sys.stderr)


def prepare(job: Job) -> Prepared:
    """Environments, algorithm and devices of a job; ConfigError where they do not go together."""
    config, devices = job.config, job.devices_of(jax.local_device_count())
    mesh = sharding.make_mesh(devices, sharding.SEED if job.seeds else sharding.TASK)
    env, eval_env = make_envs(config)
    sharding.check_divides(config.algorithm.num_tasks, mesh, env, "algorithm.num_tasks")
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.schedule_length)
    check_replay(jax.eval_shape(algorithm.init, jax.random.key(0)), len(job.seeds or (0,)), mesh)
    return Prepared(algorithm, judging.make_judge(config, algorithm, env, eval_env), mesh)


@contextlib.contextmanager
def opened(job: Job) -> Iterator[list[training.Run]]:
    """The runs of a job, whose directories are ours meanwhile; processes other than the first leave writing to that."""
    with contextlib.ExitStack() as stack:
        logs: list[RunLog | SilentLog] = []
        for config in job.configs():
            log = _open(job, job.directory_of(config.seed), config)
            stack.enter_context(log)
            logs.append(log)
        yield list(map(training.Run, job.configs(), logs))


def run(runs: list[training.Run], prepared: Prepared, bar: Bar, started: float) -> list[dict[str, Any]]:
    """Trains all runs in one program; where they do not fit into memory together, one after the other.

    Args:
      runs: of one job.
      prepared: for it.
      bar: shows how it goes, in the first of several processes.
      started: see `training.train`.

    Returns:
      Their summaries; none in processes other than the first.
    """
    algorithm, judge, mesh = prepared

    def together(runs: list[training.Run], mesh: Mesh, started: float | None) -> list[dict[str, Any]]:
        if not sharding.is_first_process():
            return training.train(runs, algorithm, judge, lambda row: None, mesh, started)
        with bar(runs[0].config) as progress:
            watched = _with_complaints(progress, runs[0].config.checkpoint_every)
            return training.train(runs, algorithm, judge, watched, mesh, started)

    try:
        return together(runs, mesh, started)
    except TooLarge as error:
        print(f"{error}: they are trained one after the other", file=sys.stderr)
        return [summary for each in runs for summary in together([each], sharding.make_mesh(1), None)]


def _open(job: Job, directory: Path, config: ExperimentConfig) -> RunLog | SilentLog:
    if not sharding.is_first_process():
        return SilentLog(directory)
    log = RunLog.resume(directory) if job.resume else RunLog.create(directory, config)
    try:
        log.track(job.log, config)
    except BaseException:
        log.close(failed=True)
        raise
    return log


def _with_complaints(progress: Callable[[Row], None], every: int) -> Callable[[Row], None]:
    """`progress`, and at checkpoints what the simulator has to say."""

    def tell(row: Row) -> None:
        progress(row)
        if row["iteration"] % every == 0:
            for complaint in physics.complaints():
                print(f"warning: {complaint}", file=sys.stderr)

    return tell
