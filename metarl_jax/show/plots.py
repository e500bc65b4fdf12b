"""Figures: learning curves, adaptation curves, settings of a sweep, paths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from ..errors import ConfigError
from .style import GREY, PALETTE, number

matplotlib.use("Agg")
matplotlib.rcParams["axes.prop_cycle"] = cycler(color=PALETTE)

_BEFORE, _AFTER = GREY, PALETTE[0]

SUFFIXES = (".png", ".pdf", ".svg")
ENOUGH_SEEDS = 5  # for an interval; of fewer each is drawn


class Setting(NamedTuple):
    """Runs that differ in their seeds alone."""

    label: str
    seeds: list[list[dict[str, Any]]]  # rows of metrics.jsonl of each


def check_file(path: Path) -> None:
    """ConfigError unless figures can be written as a file of this name."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"--out {path} must end in {', '.join(SUFFIXES)}.")


def learning_curves(settings: list[Setting], path: Path) -> None:
    """Return before (dashed) and after (solid) adaptation over environment steps, a colour per setting; success beside it.

    A line is the mean over seeds, with a 95 % interval of it (Student's t) of five and more; of fewer, thin lines are the
    seeds. Points are evaluations on held-out tasks, before (open) and after adaptation.

    Args:
      settings: what to draw.
      path: of the figure.
    """
    figure, panels = _panels(all("success_after" in rows[-1] for setting in settings for rows in setting.seeds))
    for what, axes in panels.items():
        for index, setting in enumerate(settings):
            for when, style, own_colour in (("before", "--", _BEFORE), ("after", "-", _AFTER)):
                colour = own_colour if len(settings) == 1 else f"C{index}"
                _draw_learning(axes, setting, f"{what}_{when}", style, colour, f"{setting.label}, {when} adaptation")
        axes.set(xlabel="environment steps (millions)", ylabel=f"{what} per episode" if what == "return" else "success")
        _give_height(axes)
    finish(figure, panels, path)


def _draw_learning(axes: Axes, setting: Setting, name: str, style: str, colour: str, label: str) -> None:
    """One metric of the runs of one setting, as far as all of them have come."""
    rows = [list(each) for each in zip(*setting.seeds, strict=False)]  # [iterations][seeds]
    steps = np.array([row[0]["env_steps"] for row in rows]) / 1e6
    values = np.array([[_number(row.get(name)) for row in each] for each in rows]).T  # [seeds, iterations]
    smoothed = np.array([smooth(x) for x in values])
    if len(values) < ENOUGH_SEEDS:
        axes.plot(steps, (values if len(values) == 1 else smoothed).T, style, color=colour, alpha=0.3, linewidth=0.8)
    else:
        half = student_t(len(values) - 1) * smoothed.std(axis=0, ddof=1) / np.sqrt(len(values))
        axes.fill_between(
            steps, smoothed.mean(axis=0) - half, smoothed.mean(axis=0) + half, color=colour, alpha=0.2, linewidth=0
        )
    axes.plot(steps, smoothed.mean(axis=0), style, color=colour, label=label)
    held_out = np.mean([[_number(row.get(f"eval_{name}")) for row in each] for each in rows], axis=1)
    axes.plot(steps, held_out, "o", color=colour, markersize=4, fillstyle="none" if style == "--" else "full")


def student_t(degrees: int) -> float:
    """The 97.5 % quantile of Student's t distribution."""
    return float(stats.t.ppf(0.975, degrees))


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _give_height(axes: Axes) -> None:
    """A curve that hardly moves is not blown up until its rounding shows."""
    low, high = axes.get_ylim()
    least = 0.02 * max(abs(low), abs(high), 1e-3)
    if high - low < least:
        axes.set_ylim((low + high - least) / 2, (low + high + least) / 2)


def adaptation_curve(curves: dict[str, dict[str, Any]], path: Path, title: str) -> None:
    """Interquartile mean return (and mean success) over adaptation steps, with 95 % intervals.

    Args:
      curves: contents of eval/*.json, by label.
      path: of the PNG.
      title: over the figure.
    """
    figure, panels = _panels(all("success" in curve for curve in curves.values()))
    for index, (label, curve) in enumerate(curves.items()):
        _draw_adaptation(panels["return"], curve["steps"], curve["iqm"], curve["interval"], label, f"C{index}")
        if "success" in panels:
            success = curve["success"]
            _draw_adaptation(
                panels["success"], curve["steps"], success["mean"], success["mean_interval"], label, f"C{index}"
            )
            panels["success"].set(xlabel="adaptation steps", ylabel="success (mean, 95 % interval)", ylim=(0, 1.02))
    panels["return"].set(xlabel="adaptation steps", ylabel="return (IQM, 95 % interval)")
    figure.suptitle(title, fontsize="medium")
    finish(figure, panels, path)


def success_curves(curve: dict[str, Any], path: Path, title: str) -> None:
    """Mean success over adaptation episodes with 95 % intervals, over a suite and (thin) in each of its tasks.

    Args:
      curve: `adaptation_episodes`, estimates over the suite, and under `task_success` those of each task.
      path: of the PNG.
      title: over the figure.
    """
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes, episodes = figure.subplots(), curve["adaptation_episodes"]
    tasks = curve["task_success"]
    for name, task in tasks.items() if len(tasks) > 1 else ():
        axes.plot(episodes, task["mean"], "-", linewidth=0.8, alpha=0.7, label=name)
    _draw_adaptation(axes, episodes, curve["mean"], curve["mean_interval"], "all tasks", _AFTER)
    axes.set(xlabel="adaptation episodes", ylabel="success (mean, 95 % interval)", ylim=(0, 1.02))
    figure.suptitle(title, fontsize="medium")
    finish(figure, {"success": axes}, path)


def online_curve(report: dict[str, Any], path: Path, title: str) -> None:
    """Mean return over tasks, episode by episode, beside the policy that does not learn; 95 % intervals.

    Args:
      report: what `online.report` returns.
      path: of the PNG.
      title: over the figure.
    """
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes, curve = figure.subplots(), report["curve"]
    episodes = np.arange(1, len(curve["mean"]) + 1)
    axes.plot(episodes, curve["mean"], color=_AFTER, label="learning")
    axes.fill_between(episodes, *np.array(curve["mean_interval"]).T, color=_AFTER, alpha=0.2, linewidth=0)
    axes.axhline(report["frozen"]["mean"], color=_BEFORE, linestyle="--", label="frozen")
    axes.axhspan(*report["frozen"]["mean_interval"], color=_BEFORE, alpha=0.2, linewidth=0)
    axes.set(xlabel="episode", ylabel="return (mean over tasks, 95 % interval)")
    figure.suptitle(title, fontsize="medium")
    finish(figure, {"return": axes}, path)


def settings(rows: list[dict[str, Any]], fields: Sequence[str], path: Path, title: str) -> None:
    """Interquartile mean return (and mean success) after adaptation for each setting of a sweep, and that of each seed.

    With 95 % intervals over seeds and tasks, where there are seeds enough. Over the first field that takes several numbers, a
    colour for each setting of the others; over the settings' names where there is none.

    Args:
      rows: what `sweep.table` returns.
      fields: what the settings are of, in their order.
      path: of the PNG.
      title: over the figure.
    """
    figure, panels = _panels(all("success" in row for row in rows))
    numeric = next((field for field in fields if _are_numbers({row[field] for row in rows})), None)
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        others = [word for word, field in zip(row["settings"].split(","), fields, strict=False) if field != numeric]
        lines.setdefault(",".join(others) if numeric else "", []).append(row)
    for what, axes in panels.items():
        for index, (label, line) in enumerate(lines.items()):
            places = np.array([float(row[numeric]) for row in line]) if numeric else np.arange(len(rows))
            _draw_settings(axes, places, [row[what] for row in line], label, f"C{index}" if label else _AFTER)
        if numeric:
            axes.set_xlabel(numeric)
            axes.set_xscale(_scale([float(row[numeric]) for row in rows]))
        else:
            axes.set_xticks(places, [row["settings"] for row in rows], rotation=30, ha="right", fontsize="small")
            axes.set_xlim(-0.5, len(rows) - 0.5)
        axes.set_ylabel(f"{what} after adaptation")
        axes.legend(frameon=False, fontsize="small")
    figure.suptitle(title, fontsize="medium")
    finish(figure, panels, path)


def _draw_settings(axes: Axes, places: np.ndarray, outcomes: list[dict[str, Any]], label: str, colour: str) -> None:
    """Estimates of one `what` of a sweep's rows at their places."""
    kind, interval = ("iqm", "interval") if "iqm" in outcomes[0] else ("mean", "mean_interval")
    middle = np.array([outcome[kind] for outcome in outcomes])
    errors = np.abs(np.array([outcome[interval] or (outcome[kind],) * 2 for outcome in outcomes]).T - middle)
    words = f"{label} {'IQM' if kind == 'iqm' else 'mean'}, 95 % interval".strip()
    axes.errorbar(places, middle, errors, fmt="o", color=colour, capsize=3, label=words)
    seeds = [(place, x) for place, outcome in zip(places, outcomes, strict=True) for x in outcome[f"{kind}_of_each"]]
    axes.plot(
        *np.array(seeds).T, "_", color=_BEFORE if colour == _AFTER else colour, label=f"{label} each seed".strip()
    )


def _are_numbers(words: set[str]) -> bool:
    """Whether they are, and more than one."""
    try:
        return len(words) > 1 and bool(np.isfinite([float(word) for word in words]).all())
    except ValueError:
        return False


def _scale(values: list[float]) -> str:
    """That of an axis: logarithmic where the values span a decade and more."""
    return "log" if min(values) > 0 and max(values) >= 10 * min(values) else "linear"


def paths(positions: np.ndarray, goals: np.ndarray, returns: np.ndarray, path: Path) -> None:
    """Where a point goes: a column per task, a row per episode; a square where it starts, colours for the time.

    Args:
      positions: `[K + 1, N, T + 1, 2]`.
      goals: `[N, 2]`.
      returns: `[K + 1, N]`, written over each panel.
      path: of the PNG.
    """
    rows, columns = returns.shape
    figure = Figure(figsize=(2.1 * columns + 0.8, 1.9 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    seen = np.concatenate([positions.reshape(-1, 2), goals])
    low, high = seen.min(axis=0), seen.max(axis=0)
    margin = 0.1 * (high - low).max()
    frame = {"xlim": (low[0] - margin, high[0] + margin), "ylim": (low[1] - margin, high[1] + margin)}
    for (row, column), axes in np.ndenumerate(panels):
        way = positions[row, column]
        axes.plot(*goals[column], "o", markersize=12, color="C2", alpha=0.4, label="goal")
        axes.plot(*way.T, "-", color=_BEFORE, linewidth=0.6)
        steps = axes.scatter(*way.T, c=np.arange(len(way)), s=8, cmap="plasma", zorder=2)
        axes.plot(*way[0], "s", markersize=6, color="black", fillstyle="none", label="start")
        axes.set_title(f"return {returns[row, column]:.1f}", fontsize="small")
        axes.set(aspect="equal", **frame)
    for row in range(rows):
        panels[row, 0].set_ylabel(f"after {row}" if row else "at first")
    figure.colorbar(steps, ax=panels, label="step", ticks=MaxNLocator(integer=True))
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    finish(figure, {}, path)


def _panels(has_success: bool) -> tuple[Figure, dict[str, Axes]]:
    names = ["return", "success"] if has_success else ["return"]
    figure = Figure(figsize=(2 + 4.5 * len(names), 4.2), layout="constrained")
    return figure, dict(zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True))


def _draw_adaptation(axes: Axes, steps: list, middle: list, interval: list, label: str, colour: str) -> None:
    low, high = np.array(interval).T
    axes.plot(steps, middle, "o-", color=colour, label=label)
    axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set_xticks(steps)


def smooth(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of a twentieth of the run."""
    width = max(1, len(values) // 20)
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def finish(figure: Figure, panels: dict[str, Axes], path: Path) -> None:
    """Gives panels their grid and the first one a legend, and writes the figure whole or not at all."""
    for axes in panels.values():
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "linear" and 1e3 <= np.abs(axis.get_view_interval()).max() < 1e6:
                axis.set_major_formatter(lambda x, _: number(x, 6))
    for axes in list(panels.values())[:1]:
        axes.legend(frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")
    try:
        figure.savefig(part, dpi=150)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # of a disk that was full
