"""A report of runs as one HTML file, which needs nothing from anywhere else."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import style, svg
from .markup import Markup, el, join
from .plots import ENOUGH_SEEDS, smooth, student_t

_MAX_POINTS = 240  # of a curve
_MIME = {".mp4": "video/mp4", ".gif": "image/gif"}
# What has charts of its own, and what its axis is.
_UNITS = {"return": "return per episode", "success": "success, share of episodes"}


class Adaptation(NamedTuple):
    """How tasks went after 0..K adaptation steps."""

    tasks: str  # what they are
    values: dict[str, list[float]]  # of "return" the interquartile mean, of "success" the mean, K + 1 each
    intervals: dict[str, list[tuple[float, float]] | None]  # 95 %; None of too few runs


class Heat(NamedTuple):
    """Success of single tasks."""

    title: str
    rows: list[tuple[str, list[float]]]  # a label, and the share of episodes that solved each task
    what: str  # a cell is


class Plane(NamedTuple):
    """What an agent knows of N tasks after each of K adaptation steps, on a plane."""

    points: np.ndarray  # [K, N, 2]
    axes: tuple[str, str]
    colours: np.ndarray  # [N], a number of each task
    words: str  # what that number is
    families: list[str]  # [N]


class Entry(NamedTuple):
    """Runs that differ in their seeds alone."""

    label: str
    env: str
    facts: dict[str, str]  # what the summary says, by heading
    changes: dict[str, str] | None  # from its preset, by field; None where there is no such preset
    command: str | None
    seeds: list[list[dict[str, Any]]]  # rows of metrics.jsonl of each
    adaptation: Adaptation | None
    heats: list[Heat]
    planes: list[Plane]
    films: list[tuple[str, Path, bool]]  # name, file, whether it is small enough to be part of the page
    diagnoses: list[tuple[str, dict[str, str]]]  # what each is about, and its judgements by name


def page(title: str, entries: Sequence[Entry]) -> str:
    """The file's text."""
    template = (Path(__file__).parent / "report.html").read_text(encoding="utf-8")
    sections = [
        ("Summary", _table("", {entry.label: entry.facts for entry in entries})),
        ("Configuration", _configuration(entries)),
        ("Learning", _learning(entries)),
        ("Adaptation", _adaptation(entries)),
        ("Success by task", _beside(entries, lambda entry: [svg.strips(*heat) for heat in entry.heats])),
        ("What it knows of its tasks", _beside(entries, lambda entry: [_plane(plane) for plane in entry.planes])),
        ("Films", _beside(entries, lambda entry: [_film(*film) for film in entry.films])),
        (
            "Diagnosis",
            _beside(entries, lambda entry: [_table("", {title: judged}) for title, judged in entry.diagnoses]),
        ),
    ]
    body = join(el("h1", title), *(join(el("h2", name), content) for name, content in sections if content))
    palettes = {"light": (style.PALETTE, style.GROUND), "dark": (style.PALETTE_ON_DARK, style.GROUND_DARK)}
    for name, (palette, ground) in palettes.items():
        colours = " ".join(f"--c{i}: {colour};" for i, colour in enumerate(palette))
        template = template.replace(f"/*{name}*/", f"--ground: {ground}; {colours}")
    return template.replace("<!--title-->", join(title)).replace("<!--body-->", body)


def _table(corner: str, columns: dict[str, dict[str, str]]) -> Markup | None:
    """A column for each entry, a row for each name that one of them has."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    if not names:
        return None
    head = el("thead", el("tr", el("th", corner), *(el("th", label) for label in columns)))
    rows = [
        el("tr", el("th", name), *(el("td", column.get(name, "")) for column in columns.values())) for name in names
    ]
    return el("div", el("table", head, el("tbody", *rows)), class_="wide")


def _configuration(entries: Sequence[Entry]) -> Markup:
    names = {name for entry in entries for name in entry.changes or ()}
    known = {
        entry.label: dict.fromkeys(sorted(names), "as the preset") | entry.changes
        for entry in entries
        if entry.changes is not None
    }
    differs = _table("differs from the preset in", known)
    commands = [
        el("p", el("code", entry.command or f"{entry.label}: this version does not have its preset"))
        for entry in entries
    ]
    return join(differs or el("p", "As the preset says."), *commands)


def _learning(entries: Sequence[Entry]) -> Markup | None:
    rows = [row for entry in entries for seed in entry.seeds for row in seed[-1:]]
    names = [name for row in rows for name, x in row.items() if isinstance(x, (int, float)) and "/" not in name]
    others = sorted(set(names) - {"iteration", "env_steps"} - {f"{what}_{when}" for what in _UNITS for when in _WHEN})
    others = [name for name in others if not name.startswith("eval_")]
    first = [chart for what in _UNITS for chart in _curves(entries, what)]
    more = [_metric(entries, name) for name in others]
    charts = el("div", *first, class_="charts") if first else None
    details = el("details", el("summary", f"{len(others)} more metrics"), el("div", *more, class_="charts small"))
    return join(charts, _legend_of_seeds(entries), details if any(more) else None) if rows else None


_WHEN = {"before": "before adaptation", "after": "after adaptation"}


def _groups(entries: Sequence[Entry], what: str) -> dict[str, list[tuple[int, Entry]]]:
    """Entries, and their colours, that share a chart, by the end of its title: returns of each environment have their own."""
    numbered = list(enumerate(entries))
    names = dict.fromkeys(entry.env for entry in entries)
    if what == "success" or len(names) == 1:
        return {"": numbered}
    return {f", {name}": [(colour, entry) for colour, entry in numbered if entry.env == name] for name in names}


def _curves(entries: Sequence[Entry], what: str) -> Iterator[Markup]:
    """Before (dashed) and after adaptation, where these are not the same, and evaluations as dots."""
    for which, group in _groups(entries, what).items():
        lines: list[svg.Line] = []
        for colour, entry in group:
            last = [row for seed in entry.seeds for row in seed[-20:]]
            adapts = any(row.get(f"{what}_before") != row.get(f"{what}_after") for row in last)
            for when, words in _WHEN.items():
                if when == "after" or adapts:
                    label = ", ".join([entry.label] * (len(entries) > 1) + [words] * adapts)
                    lines += _lines(entry, f"{what}_{when}", colour, label, when == "before")
        if lines:
            yield svg.chart(f"{_UNITS[what]}{which}", lines, "environment steps")


def _metric(entries: Sequence[Entry], name: str) -> Markup | None:
    several = len(entries) > 1
    lines = [line for i, entry in enumerate(entries) for line in _lines(entry, name, i, entry.label * several, False)]
    return svg.chart(name.replace("_", " "), lines, "environment steps") if lines else None


def _lines(entry: Entry, name: str, colour: int, label: str, dashed: bool) -> Iterator[svg.Line]:
    """One metric of the runs of an entry, as far as all of them have come; then its evaluations, where there are any."""
    rows = [list(each) for each in zip(*entry.seeds, strict=False)]  # [iterations][seeds]
    steps = np.array([row[0]["env_steps"] for row in rows], float)
    values = _values(rows, name)
    if not np.isfinite(values).any():
        return
    pick = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MAX_POINTS)).round().astype(int))
    smoothed = np.array([smooth(x) for x in values])
    mean, low, high, thin = smoothed.mean(axis=0), None, None, list((values if len(values) == 1 else smoothed)[:, pick])
    if len(values) >= ENOUGH_SEEDS:
        half = student_t(len(values) - 1) * smoothed.std(axis=0, ddof=1) / np.sqrt(len(values))
        low, high, thin = (mean - half)[pick], (mean + half)[pick], []
    yield svg.Line(label, steps[pick], mean[pick], colour, dashed, low, high, thin)
    held_out = _values(rows, f"eval_{name}").mean(axis=0)
    there = np.flatnonzero(np.isfinite(held_out))
    if there.size:
        yield svg.Line("", steps[there], held_out[there], colour, dashed, dots=True, names=False)


def _values(rows: list[list[dict[str, Any]]], name: str) -> np.ndarray:
    """`[seeds, iterations]`, nan where there is none."""
    return np.array([[np.nan if row.get(name) is None else row[name] for row in each] for each in rows], float).T


def _legend_of_seeds(entries: Sequence[Entry]) -> Markup:
    most = max(len(entry.seeds) for entry in entries)
    words = ["Lines are running means over a twentieth of the run; dots are evaluations, on the tasks below."]
    if most >= ENOUGH_SEEDS:
        words.append("Of five seeds and more the mean is shown, with a band that is its 95 % interval.")
    elif most > 1:
        words.append("Of fewer than five seeds each is a thin line beside their mean.")
    return el("p", " ".join(words), class_="quiet")


def _adaptation(entries: Sequence[Entry]) -> Markup | None:
    charts = []
    for what, unit in _UNITS.items():
        for which, group in _groups(entries, what).items():
            lines = []
            for colour, entry in group:
                found = entry.adaptation
                if found is not None and len(found.values.get(what, ())) > 1:
                    y, interval = np.array(found.values[what]), found.intervals[what]
                    low, high = (None, None) if interval is None else np.array(interval).T
                    label = entry.label * (len(entries) > 1)
                    lines.append(svg.Line(label, np.arange(len(y)), y, colour, False, low, high, dots=True))
            title = f"{unit}: {'IQM' if what == 'return' else 'mean'}, 95 % interval{which}"
            charts += [svg.chart(title, lines, "adaptation steps", whole_x=True)] if lines else []
    return el("div", *charts, class_="charts") if charts else None


def _beside(entries: Sequence[Entry], draw: Any) -> Markup | None:
    """What there is of each entry, side by side, under their names."""
    parts = [(entry.label, draw(entry)) for entry in entries]
    columns = [el("div", el("h3", label) if len(entries) > 1 else None, *drawn) for label, drawn in parts if drawn]
    return el("div", *columns, class_="runs") if columns else None


def _plane(plane: Plane) -> Markup:
    names = list(dict.fromkeys(plane.families))
    if len(names) > 1:
        fills = [f"var(--c{names.index(name) % len(style.PALETTE)})" for name in plane.families]
        words = list(plane.families)
    else:
        fills = svg.shades(plane.colours)
        words = [f"{plane.words}: {style.number(x)}" for x in plane.colours]
    frame = np.array([plane.points.min(axis=(0, 1)), plane.points.max(axis=(0, 1))])
    charts = [
        svg.scatter(f"after step {step}", points, fills, words, frame)
        for step, points in enumerate(plane.points, start=1)
    ]
    span = [style.number(x) for x in (plane.colours.min(), plane.colours.max())]
    colour = (
        "the task's environment" if len(names) > 1 else f"{plane.words}, from {span[0]} (dark) to {span[1]} (light)"
    )
    axes = f"Across: {plane.axes[0]}; up: {plane.axes[1]}; colour: {colour}."
    return join(el("div", *charts, class_="charts"), el("p", axes, class_="quiet"))


def _film(name: str, path: Path, small: bool) -> Markup:
    caption = el("figcaption", name)
    if not small:
        return el("figure", caption, el("p", f"{path}, too large to be part of this page", class_="quiet"))
    source = f"data:{_MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
    if path.suffix == ".gif":
        return el("figure", caption, el("img", src=source, alt=name))
    return el("figure", caption, el("video", src=source, controls="", loop="", muted="", playsinline=""))
