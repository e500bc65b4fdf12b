"""The configuration of a run: one frozen record, complete, to and from JSON."""

import contextlib
import dataclasses
import json
import math
import typing
from typing import Any

from .algorithms import ALGORITHMS
from .errors import ConfigError, check_worlds, lookup
from .policies import PolicyConfig
from .types import Adaptation

EPISODES = 10  # of each task in an evaluation where no number of episodes belongs to an adaptation step

VERSION = "0.2"  # of the files of a run; raised when those of the version before can no longer be read


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """Judging a run on tasks that it was not trained on, where there are such."""

    tasks: int = 40
    """Tasks."""
    episodes: int | None = None
    """Episodes of each task before, and again after, each adaptation step; the step sees them all. None: as many as it sees
    in training, 10 where an episode adapts by itself (a memory) or nothing adapts."""
    steps: int | None = None
    """Adaptation steps K; the curve has K + 1 points. None: as in training."""
    horizon: int | None = None
    """Steps per episode; None is the run's."""
    seed: int = 0
    """Of the tasks: runs of all seeds are judged on the same."""
    every: int | None = None
    """Iterations between evaluations while training; each is also a checkpoint. 0: at the end alone. None: as few as let
    evaluations take at most 5 % of training's environment steps, and of its steps one after the other."""

    def __post_init__(self):
        if self.every is not None and self.every < 0:
            raise ConfigError(f"evaluation.every must be at least 0, not {self.every}.")
        if min(self.tasks, 1 if self.episodes is None else self.episodes) < 1 or (self.steps or 0) < 0:
            raise ConfigError(
                "evaluation.tasks and evaluation.episodes must be at least 1, evaluation.steps at least 0."
            )
        check_worlds(evaluation__tasks=self.tasks, evaluation__episodes=self.episodes or 1)
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"evaluation.seed must lie in [0, 2**32), not {self.seed}.")

    def following(self, adaptation: Adaptation, actions: str = "sample") -> "SettledEvaluation":
        """With the steps and episodes of training where none are set, and `actions` (see there)."""
        episodes = adaptation.episodes or EPISODES if self.episodes is None else self.episodes
        steps = adaptation.steps if self.steps is None else self.steps
        return SettledEvaluation(**vars(self) | {"episodes": episodes, "steps": steps, "actions": actions})


@dataclasses.dataclass(frozen=True)
class SettledEvaluation(EvaluationConfig):
    """Judging with nothing left open but `every`."""

    episodes: int = EPISODES
    steps: int = 1
    actions: str = "sample"
    """Of judged episodes, one of `policies.ACTIONS`; those that adapt the policy are drawn, as in training."""


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """A run, from the environment to the last checkpoint."""

    preset: str
    """Preset to begin with; the first argument does the same."""
    env: str
    """Environment (`metarl list` names them)."""
    algorithm: Any
    """Algorithm and its knobs; `--algorithm NAME` takes another one with its own defaults."""
    iterations: int
    """Meta-iterations."""
    schedule_iterations: int | None = None
    """Iterations over which learning rate and entropy bonus follow their schedules; after them both stay as they are. None: all.
    A resumed run with more iterations keeps the old end unless this is given."""
    seed: int = 0
    """Everything random follows from it."""
    physics: str = "auto"
    """Physics backend: auto, mujoco, mjx or warp."""
    horizon: int | None = None
    """Steps per episode; None is the environment's own."""
    policy: PolicyConfig = PolicyConfig()
    """Policy."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Evaluation, while the run trains and at its end; it decides which checkpoint is the best."""
    window: int = 1
    """Iterations per call of the compiled program; logging and Ctrl-C wait for its end."""
    checkpoint_every: int = 25
    """Iterations between checkpoints."""
    keep_checkpoints: int = 3
    """Newest checkpoints kept, besides the best."""

    def __post_init__(self):
        lookup(self.algorithm.name, ALGORITHMS, "algorithm")
        if min(self.iterations, self.window, self.checkpoint_every, self.keep_checkpoints) < 1:
            raise ConfigError("iterations, window, checkpoint_every and keep_checkpoints must be at least 1.")
        if self.schedule_iterations is not None and self.schedule_iterations < 1:
            raise ConfigError(f"schedule_iterations must be at least 1, not {self.schedule_iterations}.")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must lie in [0, 2**32), not {self.seed}.")

    @property
    def schedule_length(self) -> int:
        """Iterations that the schedules are made for."""
        return self.iterations if self.schedule_iterations is None else self.schedule_iterations


def to_json(config: ExperimentConfig) -> str:
    """The whole configuration as JSON text; infinities are written as strings."""
    data = {"version": VERSION, **dataclasses.asdict(config)}
    data["algorithm"] = {"name": config.algorithm.name, **data["algorithm"]}
    return json.dumps(_map_floats(data, lambda x: x if math.isfinite(x) else str(x)), indent=2)


def from_json(text: str) -> ExperimentConfig:
    """The configuration that `to_json` wrote; ConfigError where it is not one, or of another version."""
    try:
        data = json.loads(text)
        version = data.pop("version", "before 0.2") if "algorithm" in data else VERSION
        if version != VERSION:
            raise ConfigError(
                f"the run was made by metarl-jax {version}, whose files are not those of {VERSION}: use that version, or train "
                "it anew."
            )
        name = data["algorithm"].pop("name")
    except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(f"not the configuration of a run: {error!r}.") from error
    algorithm = _build(type(lookup(name, ALGORITHMS, "algorithm").config), data["algorithm"], "algorithm")
    return _build(ExperimentConfig, data | {"algorithm": algorithm}, "config")


def _build(cls: type, data: dict[str, Any], where: str) -> Any:
    """An instance of dataclass `cls` from plain JSON values."""
    hints = typing.get_type_hints(cls)
    fields = {f.name for f in dataclasses.fields(cls)}
    if set(data) != fields:
        raise ConfigError(
            f"{where} does not fit this version: unknown {sorted(set(data) - fields)}, missing {sorted(fields - set(data))}."
        )
    values = {}
    for name, value in data.items():
        hint = hints[name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, dict):
            value = _build(hint, value, f"{where}.{name}")
        elif isinstance(value, list):
            value = tuple(value)
        elif hint is float:
            with contextlib.suppress(TypeError, ValueError):  # infinities are strings
                value = float(value)
        if (hint in (bool, int, float, str) or dataclasses.is_dataclass(hint)) and type(value) is not hint:
            raise ConfigError(f"{where}.{name} must be of type {hint.__name__}, not {value!r}.")
        values[name] = value
    return cls(**values)


def _map_floats(data: Any, fn: typing.Callable) -> Any:
    if isinstance(data, dict):
        return {k: _map_floats(v, fn) for k, v in data.items()}
    if isinstance(data, (list, tuple)):
        return [_map_floats(v, fn) for v in data]
    return fn(data) if isinstance(data, float) else data


def changed_fields(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted names of the fields in which two configurations differ."""
    if type(old) is not type(new):
        return [prefix.rstrip(".")]
    changed = []
    for field in dataclasses.fields(old):
        a, b = getattr(old, field.name), getattr(new, field.name)
        if dataclasses.is_dataclass(a):
            changed += changed_fields(a, b, f"{prefix}{field.name}.")
        elif a != b:
            changed.append(prefix + field.name)
    return changed
