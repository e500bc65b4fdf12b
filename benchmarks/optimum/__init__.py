"""What RL^2 learns on bandits and tabular MDPs (arXiv:1611.02779), beside classical players and the optimum, which is known.

A preset is trained here, where that takes minutes, and all play the same tasks, which it has not seen. Columns:
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
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ... import rollout
from ...envs import make
from ...evaluation import estimate
from ...presets import PRESETS
from ...types import Array, Key, MetaEnv, RunState, Task
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


def measure() -> list[dict[str, Any]]:
    """A row for each player of each preset's tasks."""
    return [row for preset in FIELDS for row in _rows(preset)]


def _rows(preset: str) -> list[dict[str, Any]]:
    config = PRESETS[preset].config
    env = make(config.env, horizon=config.horizon)
    tasks = rollout.sample_tasks(env, jax.random.key(TASK_SEED), TASKS)
    players, optimum = FIELDS[preset](env, config.algorithm.episodes, tasks)
    notes = {OPTIMUM: f"in expectation {optimum:.4g}"}
    if preset not in HOURS_ON_CPU or jax.default_backend() != "cpu":
        run, start = MetaIteration(config), time.perf_counter()
        for _ in range(config.iterations):
            run()
        seconds = time.perf_counter() - start
        notes[LEARNER] = f"trained on {config.iterations * run.env_steps:,} steps in {seconds:.0f} s"
        players = {LEARNER: learner(run, tasks)} | players
    returns = {name: np.mean([play(seed) for seed in range(TRIALS)], axis=0) for name, play in players.items()}
    return [
        _row(preset, name, returns[name], returns[OPTIMUM]) | {"note": notes.get(name, "")}
        for name in sorted(returns, key=lambda name: returns[name].mean())
    ]


def _row(preset: str, player: str, returns: np.ndarray, optimal: np.ndarray) -> dict[str, Any]:
    mean, _, _, (low, high) = estimate(returns)
    columns = {"preset": preset, "player": player, "total_return": mean, "low": low, "high": high}
    return columns | {"of_optimum": mean / float(optimal.mean())}


def learner(run: MetaIteration, tasks: Task) -> Callable[[int], np.ndarray]:
    """The policy of a run, its actions drawn as in training: seed -> returns `[TASKS]` of one trial of each task."""
    algorithm, state = run.algorithm, jax.tree.map(lambda x: x[0], run.states)
    shape = (len(jax.tree.leaves(tasks)[0]), 1)
    num_steps = run.config.algorithm.episodes * run.env.spec.horizon

    @jax.jit
    def play(state: RunState, tasks: Task, key: Key) -> Array:
        key_start, key_run = jax.random.split(key)
        params = jax.tree.map(lambda x: jnp.broadcast_to(x, (shape[0], *x.shape)), algorithm.policy_params(state))
        history = rollout.no_history(run.env.spec, shape, algorithm.init_carry(shape))
        start = rollout.start(run.env, tasks, key_start, shape, history)
        _, transitions = rollout.collect(run.env, algorithm.act(state, params), tasks, start, key_run, num_steps)
        return transitions.reward_t.sum(axis=(1, 2))

    return lambda seed: np.asarray(play(state, tasks, jax.random.key(seed)), np.float64)


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
