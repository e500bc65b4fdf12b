"""Agents: what of a run acts and adapts, small enough to be shipped with the package.

An agent is a directory of two files: parameters.npz holds the arrays of the run's state that acting and adapting read (no
optimiser, no replay, of critics only what the policy itself reads), and card.json says what it is, how it was made, and how it
did, with a digest of all of this. `agent:NAME` is one of those that are shipped.
"""

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import jax
import jax.numpy as jnp
import numpy as np

from .. import config as config_lib
from .. import evaluation
from ..algorithms import ALGORITHMS
from ..config import ExperimentConfig
from ..errors import ConfigError, lookup
from ..types import Algorithm, MetaEnv, RunState, Suite
from . import metrics, origin, runlog
from .files import read_json

SHIPPED = Path(__file__).parents[1] / "agents"
CARD, PARAMETERS = "card.json", "parameters.npz"
_PREFIX = "agent:"
_JUDGED = (
    "tasks",
    "held_out",
    "notes",
    "task_seed",
    "episodes",
    "actions",
    "horizon",
    "steps",
)  # what is told of figures


class Card(TypedDict):
    """card.json."""

    name: str
    task: str  # environment
    algorithm: str
    seed: int
    iteration: int
    env_steps: int
    command: str | None  # that trains such a run
    commit: str | None  # of the sources that the agent was exported with, where they were a clean clone
    figures: dict[str, Any]  # "return" and "success" after 0..K adaptation steps with 95 % intervals, and on what
    config: dict[str, Any]
    sha256: str  # see `digest`


class Agent(NamedTuple):
    """An agent as it was read, whole."""

    card: Card
    config: ExperimentConfig
    arrays: dict[str, np.ndarray]  # of the state, by name
    size: int  # bytes of both files


class _Curve(TypedDict):
    """What is read of an evaluation, eval/*.json, beside what `_JUDGED` names."""

    mean: list[float]
    mean_interval: list[list[float]]
    iqm: list[float]
    interval: list[list[float]]
    tasks: str
    held_out: bool
    steps: list[int]
    success: NotRequired[dict[str, Any]]


def shipped() -> dict[str, Path]:
    """The directories of the agents that come with the package, by name."""
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob(f"*/{CARD}"))}


def find(source: Path | str) -> Path | None:
    """The directory of an agent: of a shipped one for `agent:NAME`, or `source` where an agent lies there; else None.

    Raises:
      ConfigError: no agent of that name is shipped.
    """
    word = str(source)
    if word.startswith(_PREFIX):
        return lookup(word.removeprefix(_PREFIX), shipped(), "agent")
    return Path(source) if os.path.isfile(Path(source) / CARD) else None  # False, too, where one may not look


def read(directory: Path) -> Agent:
    """The agent in a directory; ConfigError where it is not as it was written, or of a version that this one does not read."""
    card = read_json(directory / CARD, Card)
    try:
        parameters = (directory / PARAMETERS).read_bytes()
    except OSError as error:
        raise ConfigError(f"{directory / PARAMETERS} cannot be read: {error.strerror}.") from error
    if digest(card, parameters) != card["sha256"]:
        raise ConfigError(
            f"the agent in {directory} is damaged: {CARD} and {PARAMETERS} are not as they were written (their SHA-256 is "
            "another). Install or export it anew."
        )
    try:
        with np.load(io.BytesIO(parameters), allow_pickle=False) as file:
            arrays = dict(file)
    except (ValueError, zipfile.BadZipFile) as error:  # nobody wrote that with `write`
        raise ConfigError(f"{directory / PARAMETERS} does not hold plain arrays: {error}") from error
    try:
        config = config_lib.from_json(json.dumps(_completed(card["config"])))
    except ConfigError as error:
        raise type(error)(f"{directory / CARD}: {error}") from error
    return Agent(card, config, arrays, len(parameters) + (directory / CARD).stat().st_size)


def read_config(source: Path) -> ExperimentConfig:
    """The configuration of an agent (see `find`), or of the run in a directory."""
    agent = find(source)
    return runlog.read_config(source) if agent is None else read(agent).config


def home(source: Path) -> Path:
    """Where what is written about a run or an agent goes by itself: to it; of a shipped agent to ./agent-NAME."""
    agent = find(source)
    return source if agent in (None, source) else Path(f"agent-{agent.name}")


def restore(agent: Agent, like: RunState) -> RunState:
    """The state of an agent, with None in the place of what acting and adapting do not read.

    Args:
      agent: see there.
      like: a state, of which shapes are enough, of the algorithm that `agent.config` says.

    Raises:
      ConfigError: the agent's arrays are not those of this version.
    """
    leaves, treedef = jax.tree.flatten_with_path(like)
    wanted = {jax.tree_util.keystr(path): x for path, x in leaves}
    for name, x in agent.arrays.items():
        if name not in wanted or wanted[name].shape != x.shape:
            there = wanted[name].shape if name in wanted else "absent"
            raise ConfigError(
                f"agent {agent.card['name']} does not fit this version: {name} is {x.shape} in it and {there} here. Use the "
                "version that it came with, or export it anew."
            )
    values = [jnp.asarray(agent.arrays[name], x.dtype) if name in agent.arrays else None for name, x in wanted.items()]
    return jax.tree.unflatten(treedef, values)


def arrays_to_act(algorithm: Algorithm, env: MetaEnv | Suite, state: RunState) -> dict[str, np.ndarray]:
    """The arrays of a state that acting and adapting read, and its step, by name; found by tracing a round of both."""
    num_tasks = len(env.envs) if isinstance(env, Suite) else 1
    like, key = jax.eval_shape(lambda: state), jax.eval_shape(lambda: jax.random.key(0))

    def play(state: RunState, key: Any) -> Any:
        return evaluation.adaptation_curve(algorithm, env, state, key, (num_tasks, 1), 1)

    traced = jax.make_jaxpr(play)(like, key).jaxpr
    read = {id(x) for equation in traced.eqns for x in equation.invars}
    leaves = jax.tree.leaves_with_path(state)
    kept = {
        jax.tree_util.keystr(path): x for (path, x), var in zip(leaves, traced.invars, strict=False) if id(var) in read
    }
    return {name: np.asarray(x) for name, x in (kept | {".step": state.step}).items()}


def make_card(name: str, run: Path, config: ExperimentConfig, step: int) -> Card:
    """The card of a run's state after `step` iterations, but for its digest.

    Raises:
      ConfigError: the run has no evaluation of this state.
    """
    evaluation = run / "eval" / f"iteration-{step}.json"
    if not evaluation.is_file():
        raise ConfigError(
            f"{evaluation} is missing, whose figures go on the card: write it by `metarl evaluate {run}`, with --checkpoint "
            "best where that is what you export."
        )
    curve: Any = read_json(evaluation, _Curve)
    figures = {field: curve[field] for field in _JUDGED if field in curve}
    figures["return"] = {field: curve[field] for field in ("mean", "mean_interval", "iqm", "interval")}
    if "success" in curve:
        figures["success"] = {field: x for field, x in curve["success"].items() if field != "values"}
    steps = [row["env_steps"] for row in metrics.read_metrics(run) if row["iteration"] == step]
    if not steps:
        raise ConfigError(f"{metrics.path_in(run)} has no row of iteration {step}: `metarl train --resume` mends it.")
    return Card(
        name=name,
        task=config.env,
        algorithm=config.algorithm.name,
        seed=config.seed,
        iteration=step,
        env_steps=steps[0],
        command=origin.command(config),
        commit=origin.commit(),
        figures=figures,
        config=json.loads(config_lib.to_json(config)),
        sha256="",
    )


def write(directory: Path, card: Card, arrays: Mapping[str, np.ndarray]) -> int:
    """Writes an agent as a directory, whole or not at all, which must not be there; returns its size in bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:  # not savez: its entries hold the time of day
        for name, x in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, x, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue(), zipfile.ZIP_LZMA)
    parameters = buffer.getvalue()
    text = json.dumps({**card, "sha256": digest(card, parameters)}, indent=2) + "\n"
    part = directory.with_name(f".part-{directory.name}")
    try:
        part.mkdir(parents=True)
        (part / PARAMETERS).write_bytes(parameters)
        (part / CARD).write_text(text)
        part.rename(directory)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return len(parameters) + len(text.encode())


def digest(card: Card, parameters: bytes) -> str:
    """SHA-256 of a card but for its digest, as JSON with sorted names, followed by the bytes of the parameters."""
    told = {name: value for name, value in card.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode() + parameters).hexdigest()


def in_words(agent: Agent) -> str:
    """What an agent is and how it did, in a line."""
    card, figures = agent.card, agent.card["figures"]
    kinds = {"return": ("iqm", "interval", ",.1f"), "success": ("mean", "mean_interval", ".3f")}
    said = []
    for what, (middle, interval, spelt) in kinds.items():
        if what in figures:
            values, (low, high) = figures[what][middle], figures[what][interval][-1]
            before = f"{values[0]:{spelt}} -> " if len(values) > 1 else ""
            said.append(f"{what} {before}{values[-1]:{spelt}} [{low:{spelt}}, {high:{spelt}}]")
    steps = f"{card['env_steps'] / 1e6:.3g} M steps, seed {card['seed']}"
    where = f"{card['algorithm']} on {card['task']}, {steps}"
    return f"{where}: {', '.join(said)} on {figures['tasks']}; {agent.size / 1e6:.2f} MB"


def _completed(data: dict[str, Any]) -> dict[str, Any]:
    """A configuration that was written before it had all the fields of today, which then have their defaults."""
    algorithm = data["algorithm"]["name"]
    default = ExperimentConfig(data["preset"], data["env"], lookup(algorithm, ALGORITHMS, "algorithm").config, 1)
    return _over(json.loads(config_lib.to_json(default)), data)


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, one laid over the other."""
    return below | {
        name: _over(below[name], x) if isinstance(x, dict) and isinstance(below.get(name), dict) else x
        for name, x in above.items()
    }
