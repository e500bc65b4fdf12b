"""Charts as SVG, whose colours are those of the page that they stand on, with what a pointer over them shows as JSON."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator

from .markup import Markup, data, el
from .style import PALETTE, number, si

WIDTH, HEIGHT = 360, 230  # of a chart; it is as wide as its column, a phone's about so
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 8, 36


class Line(NamedTuple):
    """A curve of M points, nan where it has a gap."""

    label: str
    x: np.ndarray  # [M]
    y: np.ndarray  # [M]
    colour: int  # its place in the palette
    dashed: bool = False
    low: np.ndarray | None = None  # [M], of a band around it
    high: np.ndarray | None = None
    thin: Sequence[np.ndarray] = ()  # [M] each, curves beside it: single seeds
    dots: bool = False  # its points are drawn
    names: bool = True  # it is in the legend, and a pointer shows it


class _Frame(NamedTuple):
    """Where numbers lie on a chart."""

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, x: Any) -> Any:
        return _LEFT + (np.asarray(x) - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - _LEFT - _RIGHT)

    def up(self, y: Any) -> Any:
        return _TOP + (self.y[1] - np.asarray(y)) / (self.y[1] - self.y[0]) * (HEIGHT - _TOP - _BOTTOM)


def chart(title: str, lines: Sequence[Line], x_label: str, whole_x: bool = False) -> Markup:
    """Curves over one axis, with a legend where there are several; None of them may be empty.

    Args:
      title: over it, which says what the vertical axis is, with its unit.
      lines: to draw.
      x_label: of the horizontal axis, with its unit.
      whole_x: its ticks are whole numbers.
    """
    frame = _frame(lines)
    drawn = [*_axes(frame, x_label, whole_x), *(part for line in lines for part in _draw(frame, line))]
    guide = el("line", class_="guide", x1=0, x2=0, y1=_TOP, y2=HEIGHT - _BOTTOM)
    picture = el("svg", *drawn, guide, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)
    shown = [line for line in lines if line.names]
    told = {
        "axis": [_LEFT, WIDTH - _RIGHT, *frame.x],
        "unit": x_label,
        "lines": [
            {"label": x.label, "colour": x.colour % len(PALETTE), "x": _plain(x.x), "y": _plain(x.y)} for x in shown
        ],
    }
    keys = [el("span", _key(line), line.label, class_="key") for line in shown if line.label]
    legend = el("div", *keys, class_="legend") if keys else None
    return el("figure", el("figcaption", title), picture, legend, data(told), class_="chart", tabindex=0)


def strips(title: str, rows: Sequence[tuple[str, Sequence[float]]], what: str) -> Markup:
    """A heat map of shares in [0, 1]: a row of cells for each label, its mean beside it.

    Args:
      title: over it.
      rows: labels, and the share of each cell.
      what: a cell is, for whom points at it.
    """
    lines = []
    for label, values in rows:
        cells = [el("rect", x=i, width=1, height=1, fill_opacity=f"{x:.3f}") for i, x in enumerate(values) if x > 0.0]
        picture = el(
            "svg", *cells, viewBox=f"0 0 {len(values)} 1", preserveAspectRatio="none", role="img", aria_label=label
        )
        mean = el("span", f"{np.mean(values):.2f}", class_="mean")
        strip = el("div", picture, data(_plain(values)), class_="strip", data_what=what)
        lines.append(el("div", el("span", label, class_="name"), mean, strip, class_="row"))
    scale = el("span", "0", el("span", class_="scale"), "1", class_="key")
    legend = el("div", "share of episodes that solve the task: ", scale, class_="legend")
    return el("figure", el("figcaption", title), *lines, legend, class_="heat")


def scatter(title: str, points: np.ndarray, fills: Sequence[str], names: Sequence[str], frame: np.ndarray) -> Markup:
    """Points on a plane.

    Args:
      title: over it.
      points: `[N, 2]`.
      fills: `[N]`, colours.
      names: `[N]`, for whom points at them.
      frame: `[2, 2]`, lowest and highest of both axes, the same for charts that belong together.
    """
    size, low, spread = 240, frame[0], np.maximum(frame[1] - frame[0], 1e-12)
    places = 12 + (points - low) / spread * (size - 24)
    dots = [
        el("circle", el("title", name), cx=f"{x:.1f}", cy=f"{size - y:.1f}", r=4.5, fill=fill)
        for (x, y), fill, name in zip(places, fills, names, strict=True)
    ]
    picture = el("svg", *dots, viewBox=f"0 0 {size} {size}", role="img", aria_label=title)
    return el("figure", el("figcaption", title), picture, class_="plane")


def shades(values: np.ndarray) -> list[str]:
    """Colours of numbers `[N]`, from the lowest to the highest; those in the middle of viridis, seen on light and dark."""
    spread = np.ptp(values) or 1.0
    return [
        matplotlib.colors.to_hex(matplotlib.colormaps["viridis"](0.15 + 0.75 * x))
        for x in (values - values.min()) / spread
    ]


def _frame(lines: Sequence[Line]) -> _Frame:
    x = np.concatenate([line.x for line in lines])
    parts = [part for line in lines for part in (line.y, line.low, line.high, *line.thin) if part is not None]
    y = np.concatenate(parts)
    y = y[np.isfinite(y)] if np.isfinite(y).any() else np.zeros(1)
    low, high = float(y.min()), float(y.max())
    # A curve that hardly moves is not blown up until its rounding shows.
    least = 0.02 * max(abs(low), abs(high), 1e-3)
    margin = max(0.04 * (high - low), (least - (high - low)) / 2.0, 0.0)
    left, right = min(float(x.min()), 0.0), float(x.max())
    return _Frame((left, right if right > left else left + 1.0), (low - margin, high + margin))


def _axes(frame: _Frame, x_label: str, whole_x: bool) -> list[Markup]:
    parts = []
    for y in _ticks(*frame.y, 5):
        at = f"{float(frame.up(y)):.1f}"
        parts.append(el("line", class_="grid", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at))
        parts.append(el("text", number(y, 6), class_="tick end", x=_LEFT - 5, y=at, dy="0.32em"))
    for x in _ticks(*frame.x, 5, whole_x):
        at = f"{float(frame.across(x)):.1f}"
        parts.append(el("line", class_="grid", x1=at, x2=at, y1=HEIGHT - _BOTTOM, y2=HEIGHT - _BOTTOM + 4))
        parts.append(el("text", si(x, 6), class_="tick middle", x=at, y=HEIGHT - _BOTTOM + 15))
    parts.append(el("text", x_label, class_="tick middle", x=(WIDTH + _LEFT - _RIGHT) / 2, y=HEIGHT - 4))
    return parts


def _ticks(low: float, high: float, count: int, whole: bool = False) -> list[float]:
    ticks = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high)
    near = 1e-9 * (high - low)
    return [0.0 if abs(t) < near else float(t) for t in ticks if low - near <= t <= high + near]


def _draw(frame: _Frame, line: Line) -> list[Markup]:
    colour, parts = f"c{line.colour % len(PALETTE)}", []
    if line.low is not None and line.high is not None:
        there = np.isfinite(line.low) & np.isfinite(line.high)
        x, low, high = line.x[there], line.low[there], line.high[there]
        around = _path(frame, np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]]))
        if around:
            parts.append(el("path", class_=f"band {colour}", d=f"{around}Z"))
    parts += [el("path", class_=f"thin {colour}", d=_path(frame, line.x, y)) for y in line.thin]
    if line.names:
        parts.append(el("path", class_=f"line {colour}{' dashed' * line.dashed}", d=_path(frame, line.x, line.y)))
    if line.dots:
        kind = f"dot {colour}{' open' * line.dashed}"
        there = np.isfinite(line.y)
        for x, y in zip(frame.across(line.x[there]), frame.up(line.y[there]), strict=True):
            parts.append(el("circle", class_=kind, cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.6))
    return parts


def _path(frame: _Frame, x: np.ndarray, y: np.ndarray) -> str:
    words, pen = [], "M"
    for across, up in zip(frame.across(x), frame.up(y), strict=True):
        if not math.isfinite(up):
            pen = "M"
            continue
        words.append(f"{pen}{across:.1f} {up:.1f}")
        pen = "L"
    return "".join(words)


def _key(line: Line) -> Markup:
    kind = f"line c{line.colour % len(PALETTE)}{' dashed' * line.dashed}"
    return el(
        "svg", el("path", class_=kind, d="M0 5L22 5"), viewBox="0 0 22 10", width=22, height=10, aria_hidden="true"
    )


def _plain(values: Any) -> list[float | None]:
    """As JSON holds numbers, five digits of each."""
    return [float(f"{x:.5g}") if math.isfinite(x) else None for x in np.asarray(values, float).tolist()]
