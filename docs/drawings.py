"""Draws the figures of docs/concepts.md: `python docs/drawings.py` writes docs/figures/*.svg."""

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from metarl_jax.show.style import GREY, PALETTE

matplotlib.rcParams |= {"svg.hashsalt": "metarl_jax", "font.size": 10}
BLUE, ORANGE, GREEN = PALETTE[:3]


def box(axes: Axes, x: float, y: float, text: str, colour: str, width: float = 1.0, height: float = 0.5) -> None:
    """A box with its middle at (x, y), in units of the axes."""
    corner = (x - width / 2, y - height / 2)
    style = {"boxstyle": "round,pad=0.02,rounding_size=0.08", "linewidth": 1.2}
    axes.add_patch(FancyBboxPatch(corner, width, height, facecolor=f"{colour}30", edgecolor=colour, **style))
    axes.text(x, y, text, ha="center", va="center")


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    style = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}", "color": GREY, "linewidth": 1.2}
    axes.annotate("", end, start, arrowprops=style)


def task_trial(axes: Axes) -> None:
    """A family, tasks drawn from it, and the episodes of a trial."""
    box(axes, 0.7, 1.5, "family\np(task)", GREY, 1.1, 0.8)
    for row, (y, colour) in enumerate(zip((2.6, 1.5, 0.4), (BLUE, ORANGE, GREEN), strict=True), start=1):
        arrow(axes, (1.28, 1.5), (2.25, y))
        box(axes, 2.8, y, f"task {row}", colour)
        for episode in range(3):
            x = 4.4 + 1.5 * episode
            arrow(axes, (x - 0.94 if episode else 3.32, y), (x - 0.53, y))
            box(axes, x, y, f"episode {episode + 1}", colour, 1.05)
    axes.text(5.85, 3.12, "a trial: episodes of one task; what is remembered lasts as long", ha="center", fontsize=9)
    axes.set(xlim=(0, 8.1), ylim=(0, 3.3))


def inner_step(axes: Axes) -> None:
    """Support, inner step, query, and the gradient back through them."""
    box(axes, 0.7, 1.6, "meta-\nparameters $\\theta$", GREY, 1.2, 0.8)
    box(axes, 2.7, 1.6, "support:\nE episodes with $\\theta$", BLUE, 1.6, 0.8)
    box(axes, 4.9, 1.6, "inner step:\n$\\theta' = \\theta - \\alpha\\nabla L$", ORANGE, 1.7, 0.8)
    box(axes, 7.2, 1.6, "query:\nE episodes with $\\theta'$", BLUE, 1.6, 0.8)
    for start, end in ((1.32, 1.86), (3.52, 4.01), (5.77, 6.36)):
        arrow(axes, (start, 1.6), (end, 1.6))
    arrow(axes, (7.2, 1.15), (0.7, 1.15), bend=-0.18)
    axes.text(3.95, 0.28, "outer gradient, through the inner step (second order)", ha="center", fontsize=9)
    axes.text(4.9, 2.28, "for each of N tasks, K times", ha="center", fontsize=9)
    axes.set(xlim=(0, 8.1), ylim=(0.1, 2.5))


def memory_belief(axes: Axes) -> None:
    """A memory along a trial, and a belief that becomes sharper."""
    for step in range(4):
        x = 0.9 + 1.75 * step
        box(axes, x, 2.1, "memory", BLUE, 1.05)
        axes.text(x, 1.42, "$o_t, a_{t-1}, r_{t-1}, d_{t-1}$", ha="center", fontsize=8.5)
        arrow(axes, (x, 1.55), (x, 1.82))
        if step:
            arrow(axes, (x - 1.2, 2.1), (x - 0.55, 2.1))
        std = 0.55 / (1 + 1.6 * step)
        grid = np.linspace(-0.75, 0.75, 200)
        true = 0.25
        mean = true * (1 - 1 / (1 + 1.6 * step))
        density = np.exp(-(((grid - mean) / std) ** 2) / 2) / std
        axes.fill_between(x + grid, 0.35, 0.35 + 0.09 * density, color=ORANGE, alpha=0.4)
        axes.plot([x + true] * 2, [0.35, 1.3], ":", color=GREEN)
    axes.text(7.25, 0.6, "belief of\nthe task", fontsize=9)
    axes.text(7.25, 2.03, "what adapts", fontsize=9)
    axes.set(xlim=(0, 8.1), ylim=(0.2, 2.5))


DRAWINGS: dict[str, Callable[[Axes], None]] = {
    "task-trial": task_trial,
    "inner-step": inner_step,
    "memory-belief": memory_belief,
}


def main(directory: Path) -> None:
    for name, draw in DRAWINGS.items():
        figure = Figure(figsize=(8.1, 2.9))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        draw(axes)
        axes.set_aspect("equal", adjustable="box")
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "figures")
