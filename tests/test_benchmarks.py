"""What benchmarks compute and write; the slow ones run each of them, tiny."""

import json
import math
import os

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

from metarl_jax import cli
from metarl_jax.benchmarks import (
    devices,
    hlo,
    isolated,
    peers,
    random_policy,
    report,
    scaling,
    sequence,
    throughput,
    timing,
)
from metarl_jax.benchmarks.metaworld import packages
from metarl_jax.types import EnvSpec

SCALING_ROWS = [
    {"axis": "tasks", "size": n, "iteration_seconds": 0.1 * n, "exponent": 1.0 if n == 8 else None, "note": "point"}
    for n in (4, 8)
]


def test_exponent_of_a_power_law():
    """Only between the sizes that it is fitted to: the outermost points are off."""
    seconds = {size: 0.3 * size**1.2 for size in (4, 8, 16, 32, 64, 128, 256, 512)} | {4: 7.0, 512: 7.0}
    assert scaling.fit_exponent(seconds, (8, 256)) == pytest.approx(1.2, abs=1e-12)


PROGRAM = """
HloModule jit_f, is_scheduled=true, num_partitions=4

%add.1 (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%body.3 (p: (s32[], f32[8,3])) -> (s32[], f32[8,3]) {
  %p = (s32[], f32[8,3]{1,0}) parameter(0)
  %grads = (f32[8,3]{1,0}, f32[], /*index=2*/pred[4]{0}) all-reduce(%x, %y, %z), channel_id=1, to_apply=%add.1
  ROOT %t = (s32[], f32[8,3]{1,0}) tuple(%i, %g)
}

%rare (p: f32[2]) -> f32[2] {
  ROOT %moved = f32[2]{0} collective-permute(%p), source_target_pairs={{0,1}}
}

ENTRY %main.9 (p: f32[8,3]) -> f32[8,3] {
  %loop = (s32[], f32[8,3]{1,0}) while(%init), condition=%cond.2, body=%body.3, backend_config={"known_trip_count":{"n":"5"}}
  %once = (s32[], f32[8,3]{1,0}) while(%init), condition=%cond.2, body=%body.3
  %either = f32[2]{0} conditional(%flag, %p, %p), branch_computations={%rare, %often}
  %all = bf16[4,8]{1,0} all-gather(%part), dimensions={0}
  ROOT %out = f32[8,3]{1,0} get-tuple-element(%loop), index=1
}
"""


def test_what_a_compiled_program_says():
    """Loops count as often as they are known to run; a tuple is several arrays; what is never called counts nowhere."""
    gradients = ("all-reduce", [96, 4, 4])
    expected = [(*gradients, 5), (*gradients, 1), ("collective-permute", [8], 1), ("all-gather", [64], 1)]
    assert hlo.collectives(PROGRAM) == expected
    assert hlo.communicated(PROGRAM) == 6 * 104 + 8 + 64
    assert hlo.largest_array(PROGRAM) == 96


def test_markdown():
    rows = [{"name": "a|b", "rate": 12345.6, "note": None}, {"name": "c", "rate": None, "note": "none"}]
    assert report.Report("a machine", "metarl bench x", "abc", rows).to_markdown().splitlines() == [
        "`metarl bench x`",
        "",
        "a machine; commit abc",
        "",
        "| name | rate | note |",
        "| --- | ---: | --- |",
        "| a\\|b | 12,346 | - |",
        "| c | - | none |",
    ]


def test_timing_is_in_turn_after_a_warm_up():
    calls = []
    seconds = timing.in_turn({name: lambda name=name: calls.append(name) for name in "ab"}, 2)
    assert calls == list("ababab") and {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}
    assert all(s >= 0 for values in seconds.values() for s in values)


def test_random_actions_fill_their_bounds():
    spec = EnvSpec("x", 3, 2, 5, (-1.0, 0.0), (1.0, 10.0))
    _, sample = random_policy.make_act(spec)(jnp.zeros((40, 50, 3)), None, jax.random.key(0))
    assert sample.action.shape == (40, 50, 2)
    np.testing.assert_allclose(sample.action.min((0, 1)), spec.action_low, atol=0.05)
    np.testing.assert_allclose(sample.action.max((0, 1)), spec.action_high, atol=0.05)


def test_a_call_in_a_process_of_its_own():
    assert isolated.call(math.hypot, 3, 4) == 5.0
    with pytest.raises(isolated.Failed, match="JSONDecodeError: Expecting"):
        isolated.call(json.loads, "{")
    with pytest.raises(isolated.Failed, match="exit code -6"):
        isolated.call(os.abort)


def test_peak_memory_is_the_processs_own():
    """However much the process that started it has had."""
    before = isolated.peak_mib()
    block = np.ones(1 << 27)  # 1 GiB
    assert isolated.peak_mib() >= max(before, block.nbytes / 2**20)
    assert 0 < isolated.call(isolated.peak_mib) < 1024


def test_rate_of_a_package(monkeypatch):
    programs = {"there": ("json", "timed(lambda: time.sleep(0.01))"), "broken": ("json", "raise ValueError('no')")}
    programs["missing"] = ("no_such_package", "")
    entries = {name: packages.Package(*entry) for name, entry in programs.items()}
    monkeypatch.setattr(packages, "PACKAGES", entries)
    assert 20 < packages.rate("there", "reach-v3", 4, 2) <= 8 / 0.01
    assert packages.rate("missing", "reach-v3", 4, 2) is None
    with pytest.raises(isolated.Failed, match="exit code 1: ValueError: no"):
        packages.rate("broken", "reach-v3", 4, 2)


@pytest.mark.parametrize("as_json", [False, True])
def test_out_gets_table_record_and_figure(as_json, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scaling, "measure", lambda: SCALING_ROWS)
    out = tmp_path / "some" / "where"
    assert cli.main(["bench", "scaling", "--out", str(out), *(["--json"] if as_json else [])]) == 0
    printed = capsys.readouterr().out
    record = json.loads((out / "scaling.json").read_text())
    assert record["rows"] == SCALING_ROWS and record["command"].startswith(f"metarl bench scaling --out {out}")
    assert record["machine"] and "commit" in record
    assert json.loads(printed) == record if as_json else "iteration_seconds" in printed
    assert f"`{record['command']}`" in (out / "scaling.md").read_text()
    assert matplotlib.image.imread(out / "scaling.png").ndim == 3


def test_out_of_a_benchmark_without_a_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(sequence, "measure", lambda: [{"memory": "gru"}])
    assert cli.main(["bench", "sequence", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"sequence.json", "sequence.md"}


def test_bad_out_is_refused_before_measuring(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sequence, "measure", lambda: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    assert cli.main(["bench", "sequence", "--out", str(tmp_path / "file")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --out") and "another directory" in line


@pytest.mark.parametrize("measured", [True, False])
def test_figures_of_what_was_measured(measured, tmp_path):
    speed = {"env": "point", "physics": "jax", "tasks": 4, "devices": 1}
    speed["env_steps_per_second"] = 1e4 if measured else None
    throughput.draw([speed], tmp_path / "throughput.png")
    ratio = {"comparison": "step", "peer": "EnvPool", "ratio": 2.0 if measured else None}
    peers.draw([ratio], tmp_path / "peers.png")
    assert all(matplotlib.image.imread(path).ndim == 3 for path in tmp_path.iterdir())


@pytest.mark.slow
def test_throughput(monkeypatch):
    monkeypatch.setattr(throughput, "PHYSICS", {"point": {"cpu": ["auto", "mujoco"]}})
    monkeypatch.setattr(throughput, "TASKS", {"cpu": (3,)})
    monkeypatch.setattr(throughput, "HORIZON", 4)
    monkeypatch.setattr(throughput, "REPEATS", 3)
    row, skipped = throughput.measure()
    assert (row["tasks"], row["devices"]) == (3, 1)
    steps = 3 * 10 * 4 * 2  # tasks x environments x horizon x rounds
    assert row["env_steps_per_second"] == pytest.approx(steps * row["iterations_per_second"])
    assert 0 < row["slowest"] <= row["iterations_per_second"] <= row["fastest"]
    assert row["peak_mib"] > 50 and row["compile_seconds"] > 0.1 and "4 steps per episode" in row["note"]
    assert skipped["note"].startswith("skipped: ") and skipped["env_steps_per_second"] is None
    assert list(skipped) == list(row)


@pytest.mark.slow
def test_scaling(monkeypatch):
    axes = {name: axis._replace(sizes=(2, 4), fit=(2, 4)) for name, axis in scaling.AXES.items()}
    monkeypatch.setattr(scaling, "AXES", axes)
    monkeypatch.setattr(scaling, "REPEATS", 1)
    assert jax.local_device_count() == 1  # and too late for more
    first, last, *others = scaling.measure()
    assert [(row["axis"], row["size"]) for row in others] == [
        (name, size) for name in ("large tasks", "seeds") for size in (2, 4)
    ]
    assert ["tasks: 4, 2 environments" in row["note"] for row in (last, *others)] == [True, False, False, True, True]
    growth = last["iteration_seconds"] / first["iteration_seconds"]
    assert first["exponent"] is None and last["exponent"] == pytest.approx(math.log2(growth))
    assert (first["of_first"], last["of_first"]) == (1.0, pytest.approx(growth / 2))
    assert last["seconds_per_one"] == last["iteration_seconds"] / 4


@pytest.mark.slow
def test_devices():
    """As much to tell each other however many they are, and what each holds is a share of the batch."""
    one, two, four = (isolated.call(devices.row, count, 16) for count in (1, 2, 4))
    assert one["sent_bytes"] == one["gradient_bytes"] == 0
    for more in (two, four):
        assert 4 * 4000 * 10 < more["gradient_bytes"] < more["sent_bytes"] < 1.01 * more["gradient_bytes"]
    assert two["gradient_bytes"] == four["gradient_bytes"]
    assert one["largest_array_bytes"] >= two["largest_array_bytes"] >= four["largest_array_bytes"]
    assert min(row[name] for row in (one, two, four) for name in ("iteration_seconds", "device_seconds")) > 0.0


@pytest.mark.slow
def test_peers(monkeypatch):
    monkeypatch.setattr(peers, "TASKS", ("reach-v3",))
    monkeypatch.setattr(
        peers, "SETTINGS", {name: setting._replace(num_envs=4) for name, setting in peers.SETTINGS.items()}
    )
    monkeypatch.setattr(peers, "PRESET", "nav-maml")
    monkeypatch.setattr(peers, "SUITE_STEPS", 5)
    monkeypatch.setattr(peers, "REPEATS", 1)
    rows = {(row["comparison"], row["peer"]): row for row in peers.measure()}
    assert {peer for _, peer in rows} == set(packages.PACKAGES)
    measured = [row for row in rows.values() if row["ratio"] is not None]
    assert all(row["ratio"] == pytest.approx(row["peer_seconds"] / row["seconds"]) for row in measured)
    assert rows["step reach-v3", "AsyncVectorEnv"]["env_steps"] == 4 * 50
    assert rows["MAML-PPO on ML10", "AsyncVectorEnv"]["env_steps"] == 20 * 20 * 100 * 2
    assert rows["MAML-PPO on ML10", "AsyncVectorEnv"]["ratio"] > 0
    assert len(measured) + sum("not installed" in row["note"] or "CUDA" in row["note"] for row in rows.values()) == 4
