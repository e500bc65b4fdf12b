"""Figures as PNG: learning curves and adaptation curves."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

matplotlib.use("Agg")

_BEFORE, _AFTER = "#8a8f98", "#1f6feb"


def learning_curves(runs: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Return before (dashed) and after (solid) adaptation over environment steps, a colour per run.

    Args:
      runs: rows of metrics.jsonl, by label.
      path: of the PNG.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    single = len(runs) == 1
    for index, (label, rows) in enumerate(runs.items()):
        steps = np.array([row["env_steps"] for row in rows])
        for name, style in (("return_before", "--"), ("return_after", "-")):
            colour = {"return_before": _BEFORE, "return_after": _AFTER}[name] if single else f"C{index % 10}"
            values = np.array([row[name] for row in rows], float)
            axes.plot(steps, values, style, color=colour, alpha=0.25, linewidth=0.8)
            when = "before adaptation" if name == "return_before" else "after adaptation"
            axes.plot(steps, _smooth(values), style, color=colour, label=f"{label}, {when}")
    axes.set(xlabel="environment steps", ylabel="return per episode")
    _finish(figure, axes, path)


def adaptation_curve(curves: dict[str, dict[str, Any]], path: Path, title: str) -> None:
    """Interquartile mean return on held-out tasks over adaptation steps, with its 95 % interval.

    Args:
      curves: contents of eval/*.json, by label.
      path: of the PNG.
      title: over the figure.
    """
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    for index, (label, curve) in enumerate(curves.items()):
        steps = curve["steps"]
        low, high = np.array(curve["interval"]).T
        axes.plot(steps, curve["iqm"], "o-", color=f"C{index % 10}", label=label)
        axes.fill_between(steps, low, high, color=f"C{index % 10}", alpha=0.2, linewidth=0)
        axes.set_xticks(steps)
    axes.set(xlabel="adaptation steps", ylabel="return on held-out tasks (IQM, 95 % interval)", title=title)
    _finish(figure, axes, path)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of a twentieth of the run."""
    width = max(1, len(values) // 20)
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _finish(figure: Figure, axes, path: Path) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
