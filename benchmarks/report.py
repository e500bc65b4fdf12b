"""What a benchmark hands back: its rows, and where they come from. To the terminal, as JSON, as Markdown."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.table import Table

from ..envs.physics.mujoco import num_threads


class Report(NamedTuple):
    """A measurement."""

    machine: str
    command: str
    commit: str | None
    rows: list[dict[str, Any]]  # the same columns in each

    def to_json(self) -> str:
        return json.dumps(self._asdict(), indent=2)

    def to_markdown(self) -> str:
        """Machine, command and commit above a table; numbers stand to the right."""
        rules = ["---" if left else "---:" for left in self._left().values()]
        table = [list(self.rows[0]), rules, *([show(value) for value in row.values()] for row in self.rows)]
        header = [f"`{self.command}`", f"{self.machine}; commit {self.commit or 'unknown'}"]
        return "\n\n".join([*header, "\n".join(map(markdown_line, table))]) + "\n"

    def print(self) -> None:
        """A table in the terminal."""
        table = Table(title=f"{self.command}   ({self.machine})")
        for column, left in self._left().items():
            table.add_column(column, justify="left" if left else "right")
        for row in self.rows:
            table.add_row(*(show(value) for value in row.values()))
        Console(markup=False, emoji=False).print(table)

    def _left(self) -> dict[str, bool]:
        """Which columns are words."""
        return {name: any(isinstance(row[name], str) for row in self.rows) for name in self.rows[0]}


def markdown_line(cells: Iterable[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def machine() -> str:
    """Processor, cores and devices, in words."""
    devices = ", ".join(f"{d.platform} {d.device_kind}" for d in jax.devices())
    return f"{_processor()}, {num_threads()} cores; jax {jax.__version__} on {devices}"


def commit() -> str | None:
    """What was measured, where it is a checkout; "-dirty" if it has changes. METARL_COMMIT says it where there is none."""
    if said := os.environ.get("METARL_COMMIT"):
        return said
    git = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def show(value: Any) -> str:
    """A cell of a table."""
    if value is None:
        return "-"
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and abs(value) < 100
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
