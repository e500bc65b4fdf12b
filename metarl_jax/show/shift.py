"""A run beyond the range that it was trained on, as a figure and a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from .plots import finish
from .tables import NOT_MARKUP

_RANGE = "#2da44e"


def print_shift(report: dict[str, Any], steps: Sequence[int]) -> None:
    """Means over tasks by value, after each of the adaptation `steps`; then those of the range and of what lies outside."""
    kinds = _kinds(report)
    name, (low, high) = _name(report), report["trained"]
    table = Table(title=f"{report['env']}: {name}, in training {low:.3g} to {high:.3g}; means and 95 % intervals")
    for column in (name, "in training", *(f"{what}, step {step}" for what in kinds for step in steps)):
        table.add_column(column, justify="right")
    points = [report[what][step] for what in kinds for step in steps]
    for index, (value, inside) in enumerate(zip(report["values"], report["inside"], strict=True)):
        cells = [_cell(*(point["by_value"][field][index] for field in ("mean", "mean_interval"))) for point in points]
        table.add_row(f"{value:.3g}", "yes" if inside else "", *cells)
    table.add_section()
    for part in ("inside", "outside", "difference"):
        if part in points[0]:
            table.add_row(part, "", *(_cell(point[part]["mean"], point[part]["mean_interval"]) for point in points))
    console = Console(**NOT_MARKUP)
    console.print(table)
    for note in report["notes"]:
        console.print(f"- {note}", soft_wrap=True)


def draw_shift(report: dict[str, Any], steps: Sequence[int], path: Path) -> None:
    """Mean return (and success) over the values after each of `steps`, 95 % intervals, and the trained range shaded."""
    kinds, values = _kinds(report), np.array(report["values"])
    figure = Figure(figsize=(2 + 4.5 * len(kinds), 4.2), layout="constrained")
    panels = dict(zip(kinds, figure.subplots(1, len(kinds), squeeze=False)[0], strict=True))
    for what, axes in panels.items():
        shade(axes, report["trained"], values)
        for index, step in enumerate(steps):
            estimates, colour = report[what][step]["by_value"], f"C{index % 10}"
            axes.plot(values, estimates["mean"], "o-", color=colour, markersize=4, label=f"adaptation steps: {step}")
            axes.fill_between(values, *np.array(estimates["mean_interval"]).T, color=colour, alpha=0.2, linewidth=0)
        axes.set(xlabel=_name(report), ylabel=f"{what} (mean, 95 % interval)")
    if "success" in panels:
        panels["success"].set_ylim(-0.02, 1.02)
    figure.suptitle(
        f"{report['env']}: {report['parameter']} inside and outside of the trained range", fontsize="medium"
    )
    finish(figure, panels, path)


def shade(axes: Axes, trained: Sequence[float], values: np.ndarray) -> None:
    """The part of the axis that training covers; a range of one value has the width of its line."""
    axes.axvspan(*trained, color=_RANGE, alpha=0.15, linewidth=2, zorder=0, label="in training")
    margin = 0.03 * np.ptp(values)
    axes.set_xlim(values.min() - margin, values.max() + margin)


def _kinds(report: dict[str, Any]) -> list[str]:
    return [what for what in ("return", "success") if what in report]


def _cell(mean: float, interval: Sequence[float]) -> str:
    return f"{mean:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"


def _name(report: dict[str, Any]) -> str:
    return report["parameter"] + (f" ({report['unit']})" if report["unit"] else "")
