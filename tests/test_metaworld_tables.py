"""The programs behind benchmarks/results/metaworld.md."""

import json
import sys

import pytest

from metarl_jax.benchmarks.metaworld import experts, table
from metarl_jax.errors import ConfigError


def test_a_table_is_printed_and_recorded(tmp_path, monkeypatch, capsys):
    file = tmp_path / "table.json"
    monkeypatch.setattr(sys, "argv", ["program", "push-v3", "reach-v3", "--json", str(file)])
    table.main("parity", lambda name: {"error": len(name) / 4}, (), {"seed": 3})
    assert capsys.readouterr().out.splitlines() == [
        "| task | error |",
        "|---|---|",
        "| push-v3 | 1.75 |",
        "| reach-v3 | 2 |",
    ]
    record = json.loads(file.read_text())
    assert record["command"] == f"python -m metarl_jax.benchmarks.metaworld.parity push-v3 reach-v3 --json {file}"
    assert record["settings"] == {"seed": 3} and {"machine", "commit"} <= set(record)
    assert [(row["task"], row["error"]) for row in record["rows"]] == [("push-v3", 1.75), ("reach-v3", 2.0)]


def test_a_table_says_what_is_no_task(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "reech-v3"])
    with pytest.raises(ConfigError, match="did you mean 'reach-v3'"):
        table.main("parity", lambda name: {}, (), {})


def test_experts_solve_an_easy_task_in_both():
    assert experts.measure("drawer-close-v3") == {"ours": 1.0, "package": 1.0, "nudged": 1.0, "gap": 0.0, "alike": 1.0}
