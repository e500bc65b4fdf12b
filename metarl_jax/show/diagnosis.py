"""What `metarl diagnose` found, as tables."""

from typing import Any

from rich.console import Console
from rich.table import Table

from .tables import NOT_MARKUP


def print_diagnosis(report: dict[str, Any], title: str) -> None:
    """A sentence for each check, and the training tasks that are most like the task."""
    console = Console(**NOT_MARKUP)
    table = Table(title=title, show_header=False)
    for check in report["checks"]:
        table.add_row(check["name"], check["judgement"])
    console.print(table)
    if not report["neighbours"]:
        return
    table = Table(title="training tasks with the nearest numbers")
    knows = report["neighbours"][0]["knowledge_rank"] is not None
    for column in (*report["numbers"], "distance", *["rank in what it knows"] * knows, "return after"):
        table.add_column(column, justify="right")
    for row in report["neighbours"]:
        numbers = [f"{x:.3g}" for x in row["numbers"].values()]
        rank = [str(row["knowledge_rank"])] * knows
        table.add_row(*numbers, f"{row['distance']:.2f}", *rank, f"{row['return_after']:.2f}")
    console.print(table)
