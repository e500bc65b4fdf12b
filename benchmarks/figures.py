"""The frame of a benchmark's figure."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..show.style import PALETTE


@contextlib.contextmanager
def axes(path: Path, title: str) -> Iterator[Axes]:
    """Axes to draw in; what was drawn is written to `path` (PNG)."""
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    panel = figure.subplots()
    panel.set_prop_cycle(color=PALETTE)
    yield panel
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_title(title, fontsize="medium")
    figure.savefig(path, dpi=150)


def mark(panel: Axes, sizes: Iterable[int]) -> None:
    """Names the sizes that were measured along a logarithmic x axis, and no others."""
    sizes = sorted(set(sizes))
    panel.set_xticks(sizes, [str(size) for size in sizes])
    panel.set_xticks([], minor=True)
