"""How all figures look: colours that colour-blind readers tell apart, units on the axes, SI prefixes for thousands."""

from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# Okabe and Ito (2008, "Color universal design"), without yellow, which white paper swallows.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
BEFORE, AFTER, GOAL = "#7F7F7F", COLOURS[0], COLOURS[2]
BAND = 0.2  # how dense intervals and ranges are filled


def colour(index: int) -> str:
    """Of the `index`-th thing in a figure."""
    return COLOURS[index % len(COLOURS)]


def si(value: float, position: int | None = None) -> str:
    """1500 as "1.5k", 2e6 as "2M"; numbers below a thousand as they are."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{prefix}"
    return f"{value:g}"


def count_in_si(*axes: Axis) -> None:
    """Ticks of these axes by `si`."""
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(si))


def frame(panels: Iterable[Axes]) -> None:
    """Gives panels their grid, and two sides instead of four."""
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)


def finish(figure: Figure, panels: dict[str, Axes], path: Path) -> None:
    """Frames panels, gives the first one a legend, and writes the figure whole or not at all."""
    frame(panels.values())
    for axes in list(panels.values())[:1]:
        axes.legend(frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")
    try:
        figure.savefig(part, dpi=150)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # of a disk that was full
