"""The accelerator's bench: keeps to its time, goes on where a part fails, writes every row at once."""

import json
import time

import pytest

from metarl_jax import cli
from metarl_jax.benchmarks import accelerator, isolated
from metarl_jax.benchmarks.accelerator import plan, trace


def numbers(count, seconds=0.0, fails=False):
    """What a part does, for these tests."""
    for number in range(count):
        time.sleep(seconds)
        yield {"what": f"number {number}", "value": float(number), "unit": "m", "bar": ("at least", 1.0)}
    if fails:
        raise ValueError("no more\nnumbers")


def part(name, function, *arguments, seconds=30.0, least=1.0):
    return plan.Part(name, f"what {name} does", function, arguments, seconds, least)


def test_a_stream_of_a_process():
    rows = isolated.stream("math.frexp", 3.0, seconds=30, environment={})
    assert list(rows) == []  # it yields nothing
    with pytest.raises(isolated.Failed, match="AttributeError"):
        list(isolated.stream("math.no_such_function", seconds=30, environment={}))
    start = time.monotonic()
    with pytest.raises(isolated.Failed, match="took longer than 1 s"):
        list(isolated.stream("time.sleep", 30, seconds=1.0, environment={}))
    assert time.monotonic() - start < 10


def test_rows_reach_the_files_whatever_happens(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(accelerator, "_LEAST", 0.0)
    monkeypatch.setattr(accelerator.isolated, "call", lambda function: "cpu")

    def stream(function, *arguments, seconds, environment):
        """Within this process, where the functions of this file are; nothing else is different."""
        assert environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
        try:
            yield from numbers(*arguments)
        except ValueError as error:
            raise isolated.Failed(f"exit code 1: {str(error).splitlines()[0]}") from error

    monkeypatch.setattr(accelerator.isolated, "stream", stream)
    chosen = [part("good", "x", 2), part("bad", "x", 1, 0.0, True), part("late", "x", 1, least=1e9)]
    monkeypatch.setattr(accelerator, "parts", lambda platform, directory: chosen)
    assert cli.main(["bench", "accelerator", "--out", str(tmp_path), "--minutes", "1"]) == 0
    rows = json.loads((tmp_path / "accelerator.json").read_text())["rows"]
    assert [(row["part"], row["what"], row["value"], row["met"]) for row in rows] == [
        ("good", "number 0", 0.0, "no"),
        ("good", "number 1", 1.0, "yes"),
        ("bad", "number 0", 0.0, "no"),
        ("bad", "what bad does", None, None),
        ("late", "what late does", None, None),
    ]
    assert [row["note"] for row in rows[3:]] == ["failed: exit code 1: no more", "skipped: out of time"]
    assert rows[1]["bar"] == "at least 1" and set(rows[0]) == set(accelerator.COLUMNS)
    assert "| late |" in (tmp_path / "accelerator.md").read_text()
    out, err = capsys.readouterr()
    assert "good: number 1: 1" in err and "good: number 1: 1" not in out  # standard output holds the table alone


def test_only_this_bench_keeps_to_a_time(capsys):
    assert cli.main(["bench", "sequence", "--minutes", "1"]) == 2
    assert "--minutes" in capsys.readouterr().err


def test_heaviest_parts_of_a_trace():
    names = [
        {"name": "process_name", "pid": 1, "args": {"name": "/device:GPU:0"}},
        {"name": "process_name", "pid": 2, "args": {"name": "/host:CPU"}},
        {"name": "thread_name", "pid": 1, "tid": 7, "args": {"name": "Stream #14"}},
        {"name": "thread_name", "pid": 1, "tid": 8, "args": {"name": "XLA Ops"}},
    ]
    kernels = [("fusion.1", 7, 1), ("fusion_2", 7, 1), ("solve_0123abcd_cuda_kernel_forward", 7, 1), ("fusion.1", 8, 1)]
    events = [{"ph": "X", "name": name, "tid": tid, "pid": pid, "dur": 2.0} for name, tid, pid in kernels]
    events.append({"ph": "X", "name": "python", "tid": 1, "pid": 2, "dur": 99.0})
    times, counts = trace.busy(names + events)
    assert times == {"fusion": 4.0, "solve": 2.0} and counts == {"fusion": 2, "solve": 1}


@pytest.mark.slow
def test_all_of_it_within_a_minute(tmp_path):
    start = time.monotonic()
    assert cli.main(["bench", "accelerator", "--out", str(tmp_path), "--minutes", "1"]) == 0
    assert time.monotonic() - start < 100
    rows = json.loads((tmp_path / "accelerator.json").read_text())["rows"]
    assert {row["part"] for row in rows} == {"right", "stepping", "training", "result", "trace"}
    assert all(row["value"] is not None or row["note"] for row in rows)
    assert any(row["value"] is not None for row in rows)
