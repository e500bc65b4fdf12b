"""The configuration of a run: one frozen record, complete, to and from JSON."""

import contextlib
import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from typing import Any

from .algorithms import find_algorithm
from .errors import ConfigError, check_sizes, check_worlds, lookup
from .names import FIELDS
from .policies import PolicyConfig
from .types import Adaptation

EPISODES = 10  # of each task in an evaluation where no number of episodes belongs to an adaptation step

VERSION = "0.2"  # of the files of a run; raised when those of the version before can no longer be read


class OtherVersion(ConfigError):
    """The files of a run are of a version that this one does not read."""


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
        find_algorithm(self.algorithm.name)
        if min(self.iterations, self.window, self.checkpoint_every, self.keep_checkpoints) < 1:
            raise ConfigError("iterations, window, checkpoint_every and keep_checkpoints must be at least 1.")
        if self.schedule_iterations is not None and self.schedule_iterations < 1:
            raise ConfigError(f"schedule_iterations must be at least 1, not {self.schedule_iterations}.")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must lie in [0, 2**32), not {self.seed}.")
        check_sizes(self)

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
        data = json.loads(text, parse_constant=str)  # which are no numbers of JSON, and which nobody wrote
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not the configuration of a run: {error}.") from error
    if not isinstance(data, dict) or "algorithm" not in data:
        raise ConfigError("not the configuration of a run: it has no algorithm.")
    version = data.pop("version", "before 0.2")
    if version != VERSION:
        raise OtherVersion(
            f"the run was made by metarl-jax {version}, whose files are not those of {VERSION}: use that version, or train "
            "it anew."
        )
    algorithm = data["algorithm"]
    name = algorithm.get("name") if isinstance(algorithm, dict) else None
    if not isinstance(name, str):
        raise ConfigError("not the configuration of a run: algorithm.name must be the name of one.")
    of_algorithm = type(find_algorithm(name).config)
    fields = {field: value for field, value in algorithm.items() if field != "name"}
    return decode(ExperimentConfig, data | {"algorithm": decode(of_algorithm, fields, "algorithm")})


def with_fields(config: ExperimentConfig, fields: Mapping[str, Any]) -> ExperimentConfig:
    """`config` with other values of some fields, all of them at once.

    Args:
      config: complete.
      fields: values by dotted names ("algorithm.inner.lr"); of "algorithm" also the name of one, with its own defaults.

    Raises:
      ConfigError: an unknown name, or a value of another type or out of range.
    """
    algorithm = fields.get("algorithm", config.algorithm)
    if isinstance(algorithm, str):
        algorithm = find_algorithm(algorithm).config
    if not dataclasses.is_dataclass(algorithm):
        raise ConfigError(f"algorithm must be the name of one, or its configuration, not {algorithm!r}.")
    data = json.loads(to_json(dataclasses.replace(config, algorithm=algorithm)))
    for name, value in fields.items():
        *above, last = name.split(".")
        record = data
        for part in above:
            record = lookup(part, record, f"field {name!r}, in which")
            if not isinstance(record, dict):
                raise ConfigError(f"unknown field {name!r}: {part} has no fields.")
        lookup(last, record, f"field {name!r}, in which")
        if name != "algorithm":
            record[last] = dataclasses.asdict(value) if dataclasses.is_dataclass(type(value)) else value
    try:
        return from_json(json.dumps(_map_floats(data, lambda x: x if math.isfinite(x) else str(x))))
    except TypeError as error:
        raise ConfigError(f"{error}: give plain numbers, text, tuples and configurations.") from error


def decode(hint: Any, value: Any, where: str = "") -> Any:
    """Plain JSON as what a type says that it is.

    Lists become the tuples that are asked for, whole numbers floats, "inf" infinity, objects dataclasses, which have exactly
    these fields, or typed dictionaries, which may have more.

    Args:
      hint: of a dataclass's field, or a dataclass or TypedDict itself.
      value: what `json.loads` returned.
      where: its dotted name, for messages.

    Raises:
      ConfigError: it is something else; names the field and says what it must be.
    """
    kind, options = typing.get_origin(hint), typing.get_args(hint)
    if type(None) in options:
        (hint,) = (option for option in options if option is not type(None))
        return None if value is None else decode(hint, value, where)
    if hint is Any or (kind is typing.Literal and type(value) is str and value in options):
        return value
    if isinstance(value, list) and kind in (list, tuple):
        return kind(decode(options[0], x, f"{where}[{i}]") for i, x in enumerate(value))
    if isinstance(value, dict):
        if kind is dict:
            return {name: decode(options[1], x, _below(where, name)) for name, x in value.items()}
        if typing.is_typeddict(hint):
            return _decode_dict(hint, value, where)
        if dataclasses.is_dataclass(hint):
            return _decode_record(hint, value, where)
    if hint is float and type(value) in (int, str) and (type(value) is int or value in ("inf", "-inf")):
        with contextlib.suppress(OverflowError):
            return float(value)
    if hint not in _WORDS or type(value) is not hint:
        raise ConfigError(f"{where or 'it'} must be {_words(hint)}, not {_shortened(value)}.")
    return value


def _decode_record(cls: Any, data: dict[str, Any], where: str) -> Any:
    """An instance of a dataclass."""
    hints, fields = typing.get_type_hints(cls), {f.name for f in dataclasses.fields(cls)}
    if set(data) != fields:
        raise ConfigError(
            f"{where or 'the configuration'} does not fit this version: unknown {sorted(set(data) - fields)}, missing "
            f"{sorted(fields - set(data))}."
        )
    # What has been decoded already is an instance by now.
    values: dict[str, Any] = {
        name: x if dataclasses.is_dataclass(x) else decode(hints[name], x, _below(where, name))
        for name, x in data.items()
    }
    for name, known in FIELDS.get(cls.__name__, {}).items():
        lookup(values[name], dict.fromkeys(known), _below(where, name))
    return cls(**values)


def _decode_dict(cls: Any, data: dict[str, Any], where: str) -> Any:
    """A TypedDict, with all else that is in the data."""
    if missing := sorted(cls.__required_keys__ - set(data)):
        raise ConfigError(f"{_below(where, missing[0])} is missing.")
    hints = typing.get_type_hints(cls)
    return data | {name: decode(hints[name], data[name], _below(where, name)) for name in hints if name in data}


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _words(hint: Any) -> str:
    kind, options = typing.get_origin(hint), typing.get_args(hint)
    if kind is typing.Literal:
        return f"one of {', '.join(options)}"
    return "a list" if kind in (list, tuple) else _WORDS.get(hint, "an object")


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else f"{text[:50]}..."


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
