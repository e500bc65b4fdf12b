"""A table over tasks as a program: printed row by row in Markdown, and with `--json FILE` written there."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ...envs.metaworld import FAMILIES
from ...errors import lookup
from ..report import commit, machine, markdown_line, show


def main(
    program: str, measure: Callable[[str], dict[str, Any]], tasks: Iterable[str], settings: dict[str, Any]
) -> None:
    """Measures the tasks named on the command line, else all.

    Args:
      program: name of the module, for the command that is recorded.
      measure: task -> one row.
      tasks: what to measure if nothing is named.
      settings: seeds and sizes, recorded with the rows.
    """
    parser = argparse.ArgumentParser(prog=f"python -m metarl_jax.benchmarks.metaworld.{program}")
    parser.add_argument("tasks", nargs="*", help="families, reach-v3 for instance (default: all)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write machine, command, commit, settings and rows"
    )
    options = parser.parse_args()
    record = {
        "machine": machine(),
        "command": shlex.join([*parser.prog.split(), *sys.argv[1:]]),
        "commit": commit(),
        "settings": settings,
        "rows": [],
    }
    for name in options.tasks:
        lookup(name, FAMILIES, "family")
    for name in options.tasks or tasks:
        start = time.perf_counter()
        row = {"task": name, **measure(name)}
        if not record["rows"]:
            print(markdown_line(row) + "\n" + "|---" * len(row) + "|")
        print(markdown_line(map(show, row.values())), flush=True)
        record["rows"].append({**row, "seconds": time.perf_counter() - start})
        if options.json:
            options.json.write_text(json.dumps(record, indent=1) + "\n")  # at once: a long run may end early
