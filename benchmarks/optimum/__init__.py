"""What RL^2 learns on bandits and tabular MDPs (arXiv:1611.02779), beside classical players and the optimum, which is known.

A preset is trained here, where that takes minutes, or a run of it is given (`--runs`); all play the same tasks, which it has not
seen. Columns:
  preset         of the learner, whose tasks they are
  player         who plays
  total_return   of a trial, which begins with knowing nothing of the task: mean over tasks
  low, high      its 95 % bootstrap interval, over tasks
  of_optimum     total_return over that of the optimum: of bandits the Bayes-optimal player's, of MDPs what whoever knows the MDP
                 earns, which nobody can who has to learn it
  note           how long the learner was trained; what the optimum earns in expectation
"""

import itertools
import time
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np

from ... import rollout
from ...config import ExperimentConfig
from ...envs import make
from ...errors import ConfigError
from ...evaluation import estimate
from ...experiments.agent import Agent, load
from ...presets import PRESETS
from ...runs.files import read_json
from ...types import Algorithm, Array, Key, MetaEnv, RunState, Task
from .. import figures
from ..meta_iteration import MetaIteration
from . import bandits, mdps

TASKS, TRIALS = 2_000, 8  # tasks, and trials of each, whose mean is what is resampled
TASK_SEED = 2**31
LEARNER, OPTIMUM = "RL^2", "optimum"


class Field(NamedTuple):
    """Who plays beside the learner."""

    players: dict[str, Callable[[int], np.ndarray]]  # seed -> returns [TASKS] of one trial of each task
    optimum: float  # what that player earns in expectation: of bandits over all, of MDPs over these


def bandit_field(env: MetaEnv, episodes: int, tasks: Task) -> Field:
    """Of trials of one episode, which is a trial of all pulls."""
    arms, pulls = np.asarray(tasks, np.float64), episodes * env.spec.horizon
    players = {
        "random": bandits.at_random,
        "Thompson sampling": bandits.thompson,
        "greedy": bandits.greedy,
        "UCB1": bandits.ucb1,
        "Gittins index": bandits.make_gittins(pulls),
        OPTIMUM: bandits.make_optimal(arms.shape[1], pulls),
    }
    return Field(
        {name: lambda seed, player=player: bandits.play(player, arms, pulls, seed) for name, player in players.items()},
        bandits.optimal_value(arms.shape[1], pulls),
    )


def mdp_field(env: MetaEnv, episodes: int, tasks: Task) -> Field:
    """Of trials of several episodes."""
    known, horizon = mdps.Mdps(*(np.asarray(x, np.float64) for x in tasks)), env.spec.horizon
    planners = {
        "random": mdps.make_random(env.spec.action_dim, horizon),
        "PSRL": mdps.make_psrl(horizon),
        OPTIMUM: mdps.make_knowing(known, horizon),
    }
    return Field(
        {
            name: lambda seed, planner=planner: mdps.play(planner, known, horizon, episodes, seed).sum(axis=1)
            for name, planner in planners.items()
        },
        episodes * float(mdps.plan(known, horizon)[1][:, 0].mean()),
    )


FIELDS = {"bandit-rl2": bandit_field, "mdp-rl2": mdp_field}  # by preset
HOURS_ON_CPU = ("mdp-rl2",)  # there the others play alone


def measure(runs: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """A row for each player of each preset's tasks.

    Args:
      runs: of the presets, at most one of each, which are judged in place of being trained here.

    Raises:
      ConfigError: there is no such run, it has not ended, it is of another preset or of other trials than these, or there are two
        of one preset.
    """
    given: dict[str, Learner] = {}
    for run in runs:
        agent = load(run)
        _check(agent.config, run, given)
        given[agent.config.preset] = _trained(agent, run)
    return [row for preset in FIELDS for row in _rows(preset, given.get(preset))]


class Learner(NamedTuple):
    """RL^2 as it has been trained."""

    env: MetaEnv
    algorithm: Algorithm
    state: RunState
    episodes: int  # of a trial
    note: str  # how long it was trained


class _Summary(TypedDict):
    """What is read of summary.json."""

    env_steps: int
    train_seconds: float


def _check(config: ExperimentConfig, run: Path, given: Container[str]) -> None:
    """ConfigError where a run is not to be judged here."""
    if config.preset not in FIELDS or config.preset in given:
        raise ConfigError(f"--runs takes one run of each of {', '.join(FIELDS)}; {run} is one of {config.preset}.")
    preset = PRESETS[config.preset].config
    for name, own, asked in (
        ("env", config.env, preset.env),
        ("horizon", config.horizon, preset.horizon),
        ("algorithm", config.algorithm.name, preset.algorithm.name),
        ("algorithm.episodes", getattr(config.algorithm, "episodes", None), preset.algorithm.episodes),
    ):
        if own != asked:
            raise ConfigError(
                f"{run} was trained with {name} {own}; the optimum is known for that of its preset, {asked}."
            )


def _trained(agent: Agent, run: Path) -> Learner:
    summary = read_json(run / "summary.json", _Summary)
    note = f"trained on {summary['env_steps']:,} steps in {summary['train_seconds']:.0f} s"
    return Learner(agent.env, agent.algorithm, agent.state, agent.config.algorithm.episodes, note)


def _train(config: ExperimentConfig) -> Learner:
    run, start = MetaIteration(config), time.perf_counter()
    for _ in range(config.iterations):
        run()
    note = f"trained on {config.iterations * run.env_steps:,} steps in {time.perf_counter() - start:.0f} s"
    state = jax.tree.map(lambda x: x[0], run.states)
    return Learner(run.env, run.algorithm, state, config.algorithm.episodes, note)


def _rows(preset: str, learner: Learner | None) -> list[dict[str, Any]]:
    config = PRESETS[preset].config
    env = make(config.env, horizon=config.horizon)
    tasks = rollout.sample_tasks(env, jax.random.key(TASK_SEED), TASKS)
    players, optimum = FIELDS[preset](env, config.algorithm.episodes, tasks)
    notes = {OPTIMUM: f"in expectation {optimum:.4g}"}
    if learner is None and (preset not in HOURS_ON_CPU or jax.default_backend() != "cpu"):
        learner = _train(config)
    if learner is not None:
        notes[LEARNER] = learner.note
        players = {LEARNER: play(learner, tasks)} | players
    returns = {name: np.mean([player(seed) for seed in range(TRIALS)], axis=0) for name, player in players.items()}
    return [
        _row(preset, name, returns[name], returns[OPTIMUM]) | {"note": notes.get(name, "")}
        for name in sorted(returns, key=lambda name: returns[name].mean())
    ]


def _row(preset: str, player: str, returns: np.ndarray, optimal: np.ndarray) -> dict[str, Any]:
    mean, _, _, (low, high) = estimate(returns)
    columns = {"preset": preset, "player": player, "total_return": mean, "low": low, "high": high}
    return columns | {"of_optimum": mean / float(optimal.mean())}


def play(learner: Learner, tasks: Task) -> Callable[[int], np.ndarray]:
    """Its actions drawn as in training: seed -> returns `[TASKS]` of one trial of each task."""
    env, algorithm, state, episodes, _ = learner
    shape = (len(jax.tree.leaves(tasks)[0]), 1)

    @jax.jit
    def trial(state: RunState, tasks: Task, key: Key) -> Array:
        key_start, key_run = jax.random.split(key)
        params = jax.tree.map(lambda x: jnp.broadcast_to(x, (shape[0], *x.shape)), algorithm.policy_params(state))
        history = rollout.no_history(env.spec, shape, algorithm.init_carry(shape))
        start = rollout.start(env, tasks, key_start, shape, history)
        act = algorithm.act(state, params)
        _, transitions = rollout.collect(env, act, tasks, start, key_run, episodes * env.spec.horizon)
        return transitions.reward_t.sum(axis=(1, 2))

    return lambda seed: np.asarray(trial(state, tasks, jax.random.key(seed)), np.float64)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Returns with their intervals as shares of the optimum, which is a line."""
    with figures.axes(path, "total return of a trial, of the optimum's") as axes:
        for preset, group in itertools.groupby(rows, lambda row: row["preset"]):
            players = list(group)
            scale = players[0]["of_optimum"] / players[0]["total_return"]
            means, low, high = (
                scale * np.array([row[name] for row in players]) for name in ("total_return", "low", "high")
            )
            labels = [f"{row['player']} ({preset})" for row in players]
            axes.errorbar(means, labels, xerr=(means - low, high - means), fmt="o", capsize=3)
        axes.axvline(1.0, color="black", linestyle="--", linewidth=1)
        axes.tick_params(axis="y", labelsize="small")
