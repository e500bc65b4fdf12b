"""Plain tables on the terminal, of commands that answer at once: without JAX."""

from typing import Any

from rich.console import Console
from rich.table import Table

NOT_MARKUP: Any = {
    "markup": False,
    "emoji": False,
    "highlight": False,
}  # paths and messages may hold brackets and colons


def print_tables(tables: dict[str, dict[str, str]]) -> None:
    """Titles, each over names and one line about each."""
    for title, rows in tables.items():
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for name, summary in rows.items():
            table.add_row(name, summary)
        Console(**NOT_MARKUP).print(table, "")
