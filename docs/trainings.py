"""Trainings as benchmarks/results/*.json record them, and the tables of them.

A file of trainings has `runs`, or is one. A run has `command`, `commit` and `machine` (or its file has them for all), and what
`summary.json` holds, as it is or under `summary`; or it is what several seeds gave together: `estimates`.
"""

import functools
import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from metarl_jax.algorithms import ALGORITHMS
from metarl_jax.benchmarks.report import markdown_line
from metarl_jax.cli.train import parse_train
from metarl_jax.config import ExperimentConfig
from metarl_jax.evaluation import MIN_RUNS

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
TITLES = {
    "maml-ppo": "MAML-PPO",
    "fomaml": "FOMAML",
    "promp": "ProMP",
    "maml-trpo": "MAML-TRPO",
    "reptile": "Reptile",
    "rl2": "RL^2",
    "varibad": "VariBAD",
    "pearl": "PEARL",
    "sac": "SAC",
    "ppo": "PPO",
}


class Training(NamedTuple):
    """One command, of one or several seeds."""

    file: str  # stem
    command: str
    commit: str
    machine: str
    note: str
    runs: list[dict[str, Any]]  # contents of `summary.json` of each seed; of an aggregate one, with `estimates`

    @property
    def config(self) -> ExperimentConfig:
        """What the command trains."""
        return _parse(self.command)

    @property
    def algorithm(self) -> str:
        """A key of TITLES: the variants of MAML-PPO and of RL^2 by their own names."""
        algorithm = self.config.algorithm
        if algorithm.name == "maml-ppo" and algorithm.first_order:
            return "fomaml"
        if algorithm.name == "maml-ppo" and algorithm.inner_kl_coef:
            return "promp"
        return "varibad" if algorithm.name == "rl2" and algorithm.belief.latent else algorithm.name

    @property
    def device(self) -> str:
        """In a word or two."""
        gpu = re.search(r"NVIDIA (\w+)", self.machine)
        cores = re.search(r"(\d+) (CPU )?cores", self.machine)
        return f"1 {gpu[1]}" if gpu else f"{cores[1]} CPU cores" if cores else self.machine

    @property
    def seeds(self) -> int:
        return len(self.runs[0].get("mean_of_each_seed", self.runs))

    @property
    def what(self) -> str:
        """What is judged: success, where the environment names it, else return."""
        run = self.runs[0]
        return run.get("what", "success" if "success_after" in run else "return")

    @property
    def adapts(self) -> bool:
        return self.algorithm not in ("sac", "ppo")

    @property
    def env_steps(self) -> int:
        """Of each seed."""
        return self.runs[0].get("env_steps_of_each") or self.runs[0]["env_steps"]

    def seconds(self, kind: str) -> float | None:
        """`wall` or `train`: of all seeds together where one program trains them, as it does unless they are told apart."""
        fields = (f"{kind}_seconds_of_all", f"{kind}_seconds", *(["seconds"] if kind == "wall" else []))
        found = [run[field] for run in self.runs for field in fields if field in run]
        return max(found) if found else None

    def outcome(self, when: str) -> tuple[float, tuple[float, float] | None]:
        """Mean `before` or `after` adaptation, and its interval: over tasks of one seed, over seeds of five and more."""
        if "estimates" in (run := self.runs[0]):
            point = run["estimates"][0 if when == "before" else -1]
            return point["mean"], point["mean_interval"]
        points = [run[f"{self.what}_{when}"] for run in self.runs]
        means = np.array([point["mean"] for point in points])
        if len(points) == 1:
            return float(means[0]), points[0].get("mean_interval")
        if len(points) < MIN_RUNS:
            return float(means.mean()), None
        low, high = stats.t.interval(0.95, len(means) - 1, means.mean(), stats.sem(means))
        return float(means.mean()), (float(low), float(high))


@functools.cache
def _parse(command: str) -> ExperimentConfig:
    """By the command's own parser."""
    return parse_train(shlex.split(command)[2:]).config


def load(name: str) -> dict[str, Any]:
    """What `benchmarks/results/NAME.json` holds."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def read(name: str) -> list[Training]:
    """The trainings of a file; none where it is of another kind."""
    record = load(name)
    if "runs" not in record and "summary" not in record:
        return []
    trainings: dict[str, Training] = {}
    for run in record.get("runs", [record]):
        run = (
            {key: record.get(key, "") for key in ("command", "commit", "machine", "note")}
            | run
            | run.get("summary", {})
        )
        head = Training(name, run["command"], run["commit"], run["machine"], run["note"], [])
        trainings.setdefault(head.command, head).runs.append(run)
    return list(trainings.values())


def read_all() -> list[Training]:
    return [training for path in sorted(RESULTS.glob("*.json")) for training in read(path.stem)]


def markdown(columns: dict[str, str], rows: Iterable[Iterable[str]]) -> str:
    """A table; `columns` are the rules under their heads by name: `---` to the left, `---:` to the right."""
    return "\n".join(map(markdown_line, [list(columns), list(columns.values()), *rows])) + "\n"


def estimate(mean: float, interval: Iterable[float] | None, what: str = "return") -> str:
    """`1.0 [0.9, 1.1]`."""
    form = ".2f" if what == "success" else ",.0f" if abs(mean) >= 1000 else ".1f"
    return format(mean, form) + ("" if interval is None else " [" + ", ".join(format(x, form) for x in interval) + "]")


def overview(algorithms: str = "") -> str:
    """The best of each algorithm (of those named, else all), environment and device; those that nobody has measured last."""
    order = algorithms.split() or list(TITLES)
    best: dict[tuple[str, str, str], Training] = {}
    for training in read_all():
        key = (training.algorithm, training.config.env, training.device)
        better = key not in best or training.outcome("after")[0] > best[key].outcome("after")[0]
        if better and training.algorithm in order:
            best[key] = training
    rows = []
    for (algorithm, env, device), training in sorted(
        best.items(), key=lambda item: (order.index(item[0][0]), item[0][1:])
    ):
        told = {when: estimate(*training.outcome(when), training.what) for when in ("before", "after")}
        figure = f"{told['before']} to **{told['after']}**" if training.adapts else f"**{told['after']}**"
        seconds = f"{training.seconds('wall'):,.0f}" + (" \\*" if "shared" in training.machine else "")
        judged = training.runs[0].get("tasks", "tasks of training")
        head = [TITLES[algorithm], f"`{env}`", f"{training.what} {figure}", judged]
        rows.append([*head, str(training.seeds), _millions(training), device, seconds])
    for algorithm in order:
        if algorithm not in {key[0] for key in best}:
            rows.append([TITLES[algorithm], "", "not measured yet", "", "", "", "", ""])
    heads = {"algorithm": "---", "environment": "---", "before and after adaptation": "---", "judged on": "---"}
    return markdown(heads | {"seeds": "---:", "steps of each": "---:", "device": "---", "seconds": "---:"}, rows)


def compared(name: str) -> str:
    """The algorithms of a file beside each other: a column for each environment, after adaptation; intervals are over seeds."""
    found = {(training.algorithm, training.config.env): training for training in read(name)}
    envs = list(dict.fromkeys(env for _, env in found))
    rows = []
    for algorithm in (title for title in TITLES if any(title == key[0] for key in found)):
        each = [found.get((algorithm, env)) for env in envs]
        rows.append([TITLES[algorithm], *("" if training is None else _over_seeds(training) for training in each)])
    sizes = {env: training for (_, env), training in found.items()}
    heads = [f"`{env}`, {sizes[env].seeds} seeds, {_millions(sizes[env])} steps of each" for env in envs]
    return markdown({"": "---"} | dict.fromkeys(heads, "---"), rows)


def _over_seeds(training: Training) -> str:
    """`before to after [low, high]`: means of the seeds, and Student's interval of that after adaptation."""
    before, after = ([run[f"{training.what}_{when}"]["mean"] for run in training.runs] for when in ("before", "after"))
    interval = stats.t.interval(0.95, len(after) - 1, np.mean(after), stats.sem(after))
    return f"{estimate(np.mean(before), None)} to **{estimate(np.mean(after), interval)}**"


def trainings(names: str = "") -> str:
    """What each seed came to in the files of these names, in all where there are none; below their commands."""
    return "\n".join(_detail(t) for t in read_all() if not names or t.file in names.split())


def _detail(training: Training) -> str:
    seconds = training.seconds("train")
    run = training.runs[0]
    lines = [
        f"`{training.command}`",
        f"{training.machine}; commit {training.commit}; judged on {run.get('tasks', 'its own tasks')}; "
        f"{_millions(training)} steps of each seed, {training.seconds('wall'):,.0f} s"
        + (f", of which training {seconds:,.0f} s" if seconds else "")
        + (" (of all seeds together)" if training.seeds > 1 else "")
        + "".join(f"; {note}" for note in [*run.get("notes", []), training.note] if note)
        + ".",
        _table(training),
    ]
    return "\n\n".join(lines)


def _table(training: Training) -> str:
    heads = {"seed": "---:", f"{training.what} before": "---", f"{training.what} after adaptation": "---"}
    if not training.adapts:
        heads = {"seed": "---:", training.what: "---"}
    times = ("before", "after") if training.adapts else ("after",)
    run = training.runs[0]
    if "estimates" in run:
        each = [[str(seed), *(estimate(means[0 if t == "before" else -1], None, training.what) for t in times)]
                for seed, means in enumerate(run["mean_of_each_seed"])]  # fmt: skip
    else:
        each = [[str(run["seed"]), *(_of_seed(run, training.what, when) for when in times)] for run in training.runs]
    if training.seeds > 1:
        each.append(["all", *(estimate(*training.outcome(when), training.what) for when in times)])
    return markdown(heads, each)


def _of_seed(run: dict[str, Any], what: str, when: str) -> str:
    point = run[f"{what}_{when}"]
    return estimate(point["mean"], point.get("mean_interval"), what)


def _millions(training: Training) -> str:
    return f"{training.env_steps / 1e6:.1f} M"


assert set(ALGORITHMS) | {"varibad"} == set(TITLES), "an algorithm without a title"
