"""Training from Python: what `metarl train` does, without the command."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import presets, sharding
from ..config import ExperimentConfig, with_fields
from ..errors import ConfigError, lookup
from ..runs import runlog
from ..runs.training import Interrupted
from ..show import console
from . import job
from .agent import Agent, load
from .job import Job, Row


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that has come to its end."""

    directory: Path
    config: ExperimentConfig
    summary: dict[str, Any]
    """What summary.json holds; {} in processes other than the first."""

    @property
    def metrics(self) -> list[Row]:
        """A row for each iteration, as metrics.jsonl holds them."""
        return runlog.read_metrics(self.directory)

    def agent(self, checkpoint: str = "latest") -> Agent:
        """What was trained; see `load`."""
        return load(self.directory, checkpoint)


def train(
    config: str | ExperimentConfig = presets.DEFAULT,
    *,
    run_dir: str | Path | None = None,
    devices: int | None = None,
    log: Sequence[str] = (),
    progress: Callable[[Row], None] | None = None,
    **fields: Any,
) -> Run:
    """Trains a run, as `metarl train` does.

        run = metarl_jax.train("nav-maml", iterations=20, algorithm__inner__lr=0.2)
        run.summary["return_after"]["mean"]

    A signal (Ctrl-C, SIGTERM) ends it after it has saved, where this is the main thread; elsewhere signals are left alone.

    Args:
      config: name of a preset, or a whole configuration.
      run_dir: where the run goes; must not hold anything yet. runs/PRESET-sSEED-TIME where left out.
      devices: to split the tasks over; one where left out.
      log: trackers that are told of metrics, too: "wandb", "mlflow".
      progress: called after every window of iterations with its last row of metrics; a bar where left out.
      **fields: other values of the configuration's fields; `__` stands for a dot.

    Raises:
      ConfigError: bad input; the message says what to change, by the names that the command has.
      TrainingError: training cannot go on; the last good checkpoint is whole.
      Interrupted: a signal came; `resume` goes on.
    """
    config = _configured(config, fields)
    (run,) = _do(Job(config, _directory(config, run_dir), devices=devices, log=tuple(log)), progress)
    return run


def train_seeds(
    config: str | ExperimentConfig,
    seeds: Sequence[int],
    *,
    run_dir: str | Path | None = None,
    devices: int | None = None,
    log: Sequence[str] = (),
    progress: Callable[[Row], None] | None = None,
    **fields: Any,
) -> list[Run]:
    """Trains a run for each seed in one compiled program, as `metarl train --seeds` does, in RUN_DIR/seed-N.

    See `train`; `progress` is told means over runs, and `devices` share the runs.
    """
    if not seeds or "seed" in fields:
        raise ConfigError("seeds needs at least one, and then there is no other seed.")
    config = _configured(config, fields)
    return _do(Job(config, _directory(config, run_dir), seeds=tuple(seeds), devices=devices, log=tuple(log)), progress)


def resume(
    run_dir: str | Path,
    *,
    devices: int | None = None,
    log: Sequence[str] = (),
    progress: Callable[[Row], None] | None = None,
    **fields: Any,
) -> Run:
    """Goes on with a run from its newest whole checkpoint, as `metarl train --resume` does, and to the same end.

    See `train`; of the configuration `iterations`, `schedule_iterations` and `physics` can change.
    """
    before = runlog.read_config_to_resume(Path(run_dir))
    config = job.going_on(before, _configured(before, fields))
    (run,) = _do(Job(config, Path(run_dir), resume=True, devices=devices, log=tuple(log)), progress)
    return run


def _do(todo: Job, progress: Callable[[Row], None] | None) -> list[Run]:
    """A job from Python."""
    started = time.perf_counter()
    job.check_directories(todo)
    job.warn(todo)
    if todo.devices is not None:  # else the process keeps the devices that it has
        sharding.use_parts_of_cpu(todo.devices)
    prepared = job.prepare(todo)
    bar = console.training_bar if progress is None else lambda config: contextlib.nullcontext(progress)
    with job.opened(todo) as runs:
        try:
            summaries = job.run(runs, prepared, bar, started)
        except Interrupted as stop:
            stop.add_note("".join(f"metarl_jax.resume({str(each.log.directory)!r}) goes on.\n" for each in runs))
            raise
    summaries = summaries or [{}] * len(runs)
    return [Run(each.log.directory, each.config, found) for each, found in zip(runs, summaries, strict=True)]


def _configured(config: str | ExperimentConfig, fields: dict[str, Any]) -> ExperimentConfig:
    known = lookup(config, presets.PRESETS, "preset").config if isinstance(config, str) else config
    return with_fields(known, {name.replace("__", "."): value for name, value in fields.items()})


def _directory(config: ExperimentConfig, run_dir: str | Path | None) -> Path:
    return console.default_run_dir(config) if run_dir is None else Path(run_dir)
