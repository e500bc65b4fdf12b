"""What an agent knows of its tasks, as a figure and a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from .plots import finish
from .style import PALETTE
from .tables import NOT_MARKUP


def print_relations(rows: list[dict[str, Any]], title: str) -> None:
    """How embeddings lie to tasks after each step: correlations of distances, and with each number of the task; of suites the
    share of neighbours of the same environment. See `runs.embedding.relations`.
    """
    table = Table(title=title)
    table.add_column("adaptation steps", justify="right")
    table.add_column("distances", justify="right")
    single = "linear_correlation" in rows[0]
    numbers = range(len(rows[0]["linear_correlation"])) if single else ()
    for number in numbers:
        table.add_column(f"number {number + 1}", justify="right")
    if not single:
        table.add_column("same environment", justify="right")
        table.add_column("by chance", justify="right")
    for row in rows:
        rest = row["linear_correlation"] if single else [row["same_family"], row["chance"]]
        cells = [row["distance_correlation"], *rest]
        table.add_row(str(row["step"]), *("-" if x is None else f"{x:.2f}" for x in cells))
    Console(**NOT_MARKUP).print(table)


def scatter(points: np.ndarray, colours: np.ndarray, families: list[str], labels: Sequence[str], path: Path) -> None:
    """A panel for each adaptation step, a point for each task: coloured by a number of the task, or by its environment.

    Args:
      points: `[K, N, 2]`, after steps 1 to K.
      colours: `[N]`, that number.
      families: `[N]`, names; more than one, and they are the colours.
      labels: of the two axes, and of the number.
      path: of the figure.
    """
    figure = Figure(figsize=(4.2 * len(points) + 1.4, 4.0), layout="constrained")
    panels = figure.subplots(1, len(points), squeeze=False, sharex=True, sharey=True)[0]
    names = list(dict.fromkeys(families))
    for step, (axes, at) in enumerate(zip(panels, points, strict=True), start=1):
        if len(names) > 1:
            for index, name in enumerate(names):
                mine = np.array([family == name for family in families])
                axes.scatter(
                    *at[mine].T, s=14, color=f"C{index}", marker="os^Dv"[index // len(PALETTE) % 5], label=name
                )
        else:
            drawn = axes.scatter(*at.T, s=18, c=colours, cmap="viridis")
        axes.set(title=f"after step {step}", xlabel=labels[0])
    panels[0].set_ylabel(labels[1])
    if len(names) > 1:
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize="small"
        )
    else:
        figure.colorbar(drawn, ax=panels, label=labels[2])
    finish(figure, {}, path)
