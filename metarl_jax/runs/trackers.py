"""Where metrics go beside the run directory: Weights & Biases and MLflow, by their own packages and settings.

A tracker is told what TensorBoard's file is told (see board.py). Neither forgets: where a run goes back to a checkpoint, an
iteration is told twice, and the later one counts. The names that they gave a run are in trackers.json, so that a resumed run
goes on in them.
"""

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from .. import config as config_lib
from ..config import ExperimentConfig
from ..errors import ConfigError, lookup
from .files import read_json, write_atomically

_PROJECT = "metarl_jax"  # at both, where their own settings name no other
_MOST = 1000  # metrics that MLflow takes at once; and a hundred parameters


class Tracker(Protocol):
    """One run at one of them."""

    name: str  # that it gave the run

    def add(self, iteration: int, values: dict[str, float]) -> None:
        """Values of an iteration, by name."""

    def flush(self) -> None:
        """Sends what was added."""

    def close(self, failed: bool) -> None:
        """The run ends, or is interrupted."""


class WandbTracker:
    """Weights & Biases: the environment says whether it is online (WANDB_MODE), for whom (WANDB_ENTITY, WANDB_PROJECT)."""

    def __init__(self, directory: Path, config: ExperimentConfig, name: str | None):
        import wandb

        project = os.environ.get("WANDB_PROJECT", _PROJECT)
        quiet = wandb.Settings(console="off")  # what is printed belongs to whoever runs this
        try:
            self._run = wandb.init(
                dir=directory,
                project=project,
                id=name,
                name=directory.name,
                resume="allow",
                reinit="create_new",
                settings=quiet,
            )
        except wandb.errors.Error as error:
            raise ConfigError(f"wandb: {_line(error)}. Log in by `wandb login`, or set WANDB_MODE=offline.") from error
        self._run.config.update(_plain(config), allow_val_change=True)
        # Iterations are the axis: its own count of steps would only go up, and a run that goes back to a checkpoint does not.
        self._run.define_metric("iteration")
        self._run.define_metric("*", step_metric="iteration")
        self.name = self._run.id

    def add(self, iteration: int, values: dict[str, float]) -> None:
        self._run.log({"iteration": iteration, **values})

    def flush(self) -> None:
        """It sends by itself."""

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class MlflowTracker:
    """MLflow: the environment says where to (MLFLOW_TRACKING_URI; a file in this folder else), and MLFLOW_EXPERIMENT_NAME."""

    def __init__(self, directory: Path, config: ExperimentConfig, name: str | None):
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._metric = Metric
        self._waiting: list[Any] = []
        try:
            self._client = MlflowClient()
            self.name = name if name is not None and self._goes_on(name) else self._begin(directory)
            pairs = [Param(key, str(value)) for key, value in _flat(_plain(config))]
            for start in range(0, len(pairs) if self.name != name else 0, 100):
                self._client.log_batch(self.name, params=pairs[start : start + 100])
        except MlflowException as error:
            raise ConfigError(f"mlflow: {_line(error)}. See to MLFLOW_TRACKING_URI.") from error

    def _begin(self, directory: Path) -> str:
        project = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        found = self._client.get_experiment_by_name(project)
        experiment = self._client.create_experiment(project) if found is None else found.experiment_id
        return self._client.create_run(experiment, run_name=directory.name).info.run_id

    def _goes_on(self, name: str) -> bool:
        """Whether there is such a run, which from now on runs again."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(name, status="RUNNING")
        except MlflowException as error:
            print(f"mlflow does not know the run any more ({_line(error)}): another one begins there", file=sys.stderr)
            return False
        return True

    def add(self, iteration: int, values: dict[str, float]) -> None:
        now = int(time.time() * 1000)
        self._waiting += [self._metric(name, value, now, iteration) for name, value in values.items()]

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _MOST):
            self._client.log_batch(self.name, metrics=waiting[start : start + _MOST])

    def close(self, failed: bool) -> None:
        self.flush()
        self._client.set_terminated(self.name, "FAILED" if failed else "FINISHED")


class Entry(NamedTuple):
    """How a tracker is made: of a run's directory, its configuration, and the name that it has there, None where it is new."""

    make: Callable[[Path, ExperimentConfig, str | None], Tracker]
    module: str


TRACKERS = {"wandb": Entry(WandbTracker, "wandb"), "mlflow": Entry(MlflowTracker, "mlflow")}


class Trackers:
    """Those of one run. One that fails is told no more, after a word: the run directory has it all."""

    def __init__(self, kinds: Sequence[str], directory: Path, config: ExperimentConfig):
        """Begins in each of `kinds`, or goes on; and goes on in those that the run is in already.

        Raises:
          ConfigError: one refuses, or its package is not installed.
        """
        path = directory / "trackers.json"
        names: dict[str, str] = read_json(path, dict[str, str]) if path.exists() else {}
        kinds = list(dict.fromkeys([*names, *kinds]))
        check(kinds)
        self._trackers: dict[str, Tracker] = {}
        try:
            for kind in kinds:
                tracker = TRACKERS[kind].make(directory, config, names.get(kind))
                self._trackers[kind] = tracker
                names[kind] = tracker.name
        except BaseException:
            self.close(failed=True)
            raise
        if kinds:
            write_atomically(path, json.dumps(names, indent=2))

    def add(self, iteration: int, values: dict[str, float]) -> None:
        """See `Tracker`, as for all that follows."""
        self._each(lambda tracker: tracker.add(iteration, values))

    def flush(self) -> None:
        self._each(lambda tracker: tracker.flush())

    def close(self, failed: bool) -> None:
        self._each(lambda tracker: tracker.close(failed))
        self._trackers = {}

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for kind, tracker in list(self._trackers.items()):
            try:
                do(tracker)
            except Exception as error:  # of whatever kind, from a network or a server: it must not end the run
                del self._trackers[kind]
                print(
                    f"warning: {kind} is told no more of this run, whose directory has it all: {_line(error)}",
                    file=sys.stderr,
                )


def check(kinds: Sequence[str]) -> None:
    """ConfigError where one is unknown, or its package is not installed."""
    for kind in kinds:
        if importlib.util.find_spec(lookup(kind, TRACKERS, "tracker").module) is None:
            raise ConfigError(f"--log {kind} needs its package: pip install 'metarl-jax[{kind}]'.")


def _plain(config: ExperimentConfig) -> dict[str, Any]:
    return json.loads(config_lib.to_json(config))


def _flat(data: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted name, value) of all that a configuration holds."""
    pairs: list[tuple[str, Any]] = []
    for name, value in data.items():
        pairs += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return pairs


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
