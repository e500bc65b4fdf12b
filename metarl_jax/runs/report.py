"""What a report says of runs, read from their directories."""

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from .. import evaluation
from ..errors import ConfigError
from ..show import style
from ..show.report import Adaptation, Entry, Heat, Plane
from . import clock, embedding, origin, runlog
from .files import read_json
from .metrics import read_mended
from .settings import by_setting
from .sweep import Curve

_SMALL, _SMALL_TOGETHER = 4_000_000, 16_000_000  # bytes of films that become part of a page
_NOTHING = style.number(None)


class _Embedding(TypedDict):
    """What is read of eval/embedding-*.json."""

    iteration: int
    points: list[list[list[float]]]  # [K + 1, N, D]
    tasks: list[list[list[float]]]  # [N/M, P] of each environment
    families: list[str]  # [N]


class _Check(TypedDict):
    name: str
    judgement: str


class _Diagnosis(TypedDict):
    """What is read of eval/diagnosis-*.json."""

    task: int
    task_env: str
    iteration: int
    checks: list[_Check]


class _PerGoal(TypedDict):
    adaptation_episodes: list[int]
    goal_success: dict[str, list[list[float]]]  # by task [points, goals]


# What is read of eval/metaworld-*.json, evaluations in the package's environments.
_HostReport = TypedDict(
    "_HostReport", {"iteration": int, "split": str, "suite": str, "per-goal": NotRequired[_PerGoal]}
)


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """The run directories among `paths`, and those in sweeps, and folders of runs, among them.

    Raises:
      ConfigError: one is neither a run nor holds one.
    """
    found: list[Path] = []
    for path in paths:
        below = [path] if (path / "config.json").is_file() else sorted(_runs_in(path))
        if not below:
            raise ConfigError(f"{path} is no run directory, nor does it hold one.")
        found += [run for run in below if run not in found]
    return found


def _runs_in(path: Path) -> list[Path]:
    """Two floors deep, as sweeps lie: SWEEP/SETTING/seed-N."""
    files = itertools.chain(path.glob("*/config.json"), path.glob("*/*/config.json"))
    return [file.parent for file in files if file.parent.name != "checkpoints"]


def entries(directories: Sequence[Path]) -> list[Entry]:
    """What there is of each setting of some runs; ConfigError where a file of theirs is damaged or of another version."""
    room, made = _SMALL_TOGETHER, []
    for label, runs in by_setting(directories).items():
        films = []
        for file in sorted(
            file for run in runs for kind in ("mp4", "gif") for file in (run / "plots").glob(f"*.{kind}")
        ):
            size = file.stat().st_size
            small = size <= min(_SMALL, room)
            room -= size * small
            films.append((f"{file.parents[1].name}: {file.stem}" if len(runs) > 1 else file.stem, file, small))
        made.append(_entry(label, runs, films))
    return made


def _entry(label: str, runs: Sequence[Path], films: list[tuple[str, Path, bool]]) -> Entry:
    configs, seeds = [runlog.read_config(run) for run in runs], [read_mended(run) for run in runs]
    if not any(seeds):
        raise ConfigError(f"{runs[0]} has no metrics yet.")
    curves = [curve for run in runs if (curve := _last_curve(run)) is not None]
    adaptation = _adaptation(curves) if curves else None
    changes = origin.changes(configs[0])
    if changes is not None:
        changes = {name: _in_words(value) for name, value in changes.items() if name != "seed"}
    facts = {
        "preset": configs[0].preset,
        "environment": configs[0].env,
        "algorithm": configs[0].algorithm.name,
        "seeds": ", ".join(str(config.seed) for config in configs),
        **_progress(configs[0].iterations, [rows for rows in seeds if rows]),
        **(_outcome(adaptation) if adaptation else {}),
    }
    if notes := dict.fromkeys(note for curve in curves for note in curve["notes"]):
        facts["notes"] = "; ".join(notes)
    return Entry(
        label=label,
        env=configs[0].env,
        facts=facts,
        changes=changes,
        command=origin.command(configs[0]),
        seeds=[rows for rows in seeds if rows],
        adaptation=adaptation,
        heats=[*_heats(curves), *_host_heats(runs[0])],
        planes=_planes(runs[0]),
        films=films,
        diagnoses=_diagnoses(runs[0]),
    )


def _progress(iterations: int, seeds: list[list[dict[str, Any]]]) -> dict[str, str]:
    done, last = min(rows[-1]["iteration"] for rows in seeds), [rows[-1] for rows in seeds]
    known = [row["train_seconds"] for row in last if row["train_seconds"] is not None]
    rate = [clock.rate(rows) for rows in seeds]
    return {
        "iterations": f"{style.number(done)}"
        if done >= iterations
        else f"{style.number(done)} of {style.number(iterations)}",
        "environment steps": style.si(min(row["env_steps"] for row in last)),
        "training time": style.seconds(float(np.mean(known))) if known else _NOTHING,
        "environment steps per second": style.number(float(np.mean([x for x in rate if x]))) if any(rate) else _NOTHING,
    }


def _outcome(found: Adaptation) -> dict[str, str]:
    said = {"judged on": found.tasks}
    for what, values in found.values.items():
        kind = "IQM" if what == "return" else "mean"
        interval = found.intervals[what]
        between = "" if interval is None else " [{},\u00a0{}]".format(*map(style.number, interval[-1]))
        before = {f"{what} before adaptation, {kind}": style.number(values[0])} if len(values) > 1 else {}
        said |= before | {f"{what}, {kind}": style.number(values[-1]) + between}
    return said


def _last_curve(run: Path) -> Curve | None:
    """The run's own evaluation of its last iteration that has one."""
    files = {int(m[1]): p for p in (run / "eval").glob("*.json") if (m := re.fullmatch(r"iteration-(\d+)", p.stem))}
    return read_json(files[max(files)], Curve) if files else None


def _adaptation(curves: Sequence[Curve]) -> Adaptation:
    """Over runs and tasks; of the first run alone where others were judged on other tasks."""
    first = curves[0]
    alike = [c for c in curves if _judged_on(c) == _judged_on(first)]
    rows = evaluation.Rows(first["task"], first["task_env"], first["all_tasks"])
    points = [
        evaluation.over_tasks(np.array(values), rows) for values in zip(*(c["returns"] for c in alike), strict=True)
    ]
    found = {"return": ([p.iqm for p in points], [p.interval for p in points])}
    if "success" in first:
        tables = [c["success"]["values"] for c in alike]
        points = [evaluation.over_tasks(np.array(values), rows) for values in zip(*tables, strict=True)]
        found["success"] = ([p.mean for p in points], [p.mean_interval for p in points])
    intervals = {what: None if None in pairs else [p for p in pairs if p] for what, (_, pairs) in found.items()}
    return Adaptation(first["tasks"], {what: values for what, (values, _) in found.items()}, intervals)


def _judged_on(curve: Curve) -> tuple[Any, ...]:
    return curve["task"], curve["task_env"], len(curve["returns"]), "success" in curve


def _heats(curves: Sequence[Curve]) -> list[Heat]:
    """Success of each task before and after adaptation, a row for each environment; of one environment a row for each step."""
    curves = [c for c in curves if "success" in c and _judged_on(c) == _judged_on(curves[0])]
    if not curves:
        return []
    values = np.mean([c["success"]["values"] for c in curves], axis=0)  # [K + 1, N]
    task, env = np.array(curves[0]["task"]), np.array(curves[0]["task_env"])
    names, last = list(dict.fromkeys(curves[0]["task_env"])), len(values) - 1

    def goals(step: int, name: str) -> list[float]:
        mine = task[env == name]
        return [float(values[step][task == number].mean()) for number in dict.fromkeys(mine.tolist())]

    if len(names) == 1 and last:
        return [Heat(names[0], [(_after(step), goals(step, names[0])) for step in range(last + 1)], "task")]
    return [
        Heat(_after(step) if last else "its evaluation", [(name, goals(step, name)) for name in names], "task")
        for step in dict.fromkeys([0, last])
    ]


def _after(step: int) -> str:
    return f"after {step} adaptation step{'s' * (step > 1)}" if step else "before adaptation"


def _host_heats(run: Path) -> list[Heat]:
    """The newest of a run's evaluations in the package's environments, of each suite and split."""
    newest: dict[tuple[str, str], Any] = {}
    for path in sorted((run / "eval").glob("metaworld-*.json")):
        report: Any = read_json(path, _HostReport)
        key = report["suite"], report["split"]
        if "per-goal" in report and report["iteration"] >= newest.get(key, report)["iteration"]:
            newest[key] = report
    heats = []
    for (suite, split), report in newest.items():
        goals, episodes = report["per-goal"]["goal_success"], report["per-goal"]["adaptation_episodes"][-1]
        after = f", after {episodes} episodes" if episodes else ""
        title = f"{suite}, {split} goals of the metaworld package{after}"
        heats.append(Heat(title, [(name, points[-1]) for name, points in goals.items()], "goal"))
    return heats


def _planes(run: Path) -> list[Plane]:
    """The newest embedding of a run."""
    found = [read_json(path, _Embedding) for path in sorted((run / "eval").glob("embedding-*.json"))]
    if not found:
        return []
    newest: _Embedding = max(found, key=lambda each: each["iteration"])
    placed, share = embedding.principal(np.array(newest["points"])[1:])
    numbers = np.array(newest["tasks"][0])
    colours, words = numbers[:, 0], "the task's first number"
    if numbers.shape[1] == 2:
        colours, words = np.degrees(np.arctan2(numbers[:, 1], numbers[:, 0])), "direction of the goal (degrees)"
    across, up = (f"component {i + 1} ({100 * x:.0f} % of the variance)" for i, x in enumerate(share))
    return [Plane(placed, (across, up), colours, words, newest["families"])]


def _diagnoses(run: Path) -> list[tuple[str, dict[str, str]]]:
    """What eval/diagnosis-*.json of a run say, each with what it is about."""
    said = []
    for path in sorted((run / "eval").glob("diagnosis-*.json")):
        found: Any = read_json(path, _Diagnosis)
        title = f"task {found['task']} of {found['task_env']} at iteration {found['iteration']}"
        said.append((title, {check["name"]: check["judgement"] for check in found["checks"]}))
    return said


def _in_words(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_in_words, value))
    if isinstance(value, dict):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
