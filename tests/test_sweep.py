"""`metarl sweep`: the grid, what is run again, and the table."""

import contextlib
import json
import os
import subprocess
import sys
import time

import matplotlib.image
import numpy as np
import pytest

from metarl_jax import cli, evaluation, presets
from metarl_jax.cli import hosts
from metarl_jax.errors import ConfigError
from metarl_jax.runs import children, sweep
from metarl_jax.runs.runlog import RunLog
from metarl_jax.show import console, plots

TINY = ["--env", "point", "--iterations", "1", "--horizon", "5", "--algorithm.num-tasks", "2"]
TINY += ["--algorithm.envs-per-task", "2", "--evaluation.tasks", "4", "--evaluation.episodes", "2"]


def test_the_grid_is_a_product(tmp_path):
    grid = ["algorithm.inner.lr=0.1,0.2", "algorithm.optimizer.lr=1", "policy.normalize_obs=True"]
    cells = sweep.expand(tmp_path, ["nav-maml", "--horizon", "5"], grid, [3, 4])
    assert [cell.seed for cell in cells] == [3, 4, 3, 4]
    assert cells[0].settings == {
        "algorithm.inner.lr": "0.1",
        "algorithm.optimizer.lr": "1",
        "policy.normalize_obs": "True",
    }
    name = "algorithm.inner.lr=0.1,algorithm.optimizer.lr=1,normalize_obs=True"  # two fields are called lr
    assert cells[1].directory == tmp_path / name / "seed-4"
    words = ["--algorithm.inner.lr", "0.2", "--algorithm.optimizer.lr", "1", "--policy.normalize-obs", "True"]
    assert cells[2].argv == ("nav-maml", "--horizon", "5", *words, "--seed", "3")
    assert sweep.expand(tmp_path, ["nav-maml"], [], [0])[0].directory == tmp_path / "default" / "seed-0"


@pytest.mark.parametrize("axis", ["lr", "=1", "lr=", "lr=1,,2", "a=1 a=2"])
def test_bad_axes(tmp_path, axis):
    with pytest.raises(ConfigError, match="write field=value"):
        sweep.expand(tmp_path, ["nav-maml"], axis.split(), [0])


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two settings, two seeds, by the command; one of them had been killed before its first checkpoint."""
    out = tmp_path_factory.mktemp("sweep") / "lr"
    begun = out / "lr=0.1" / "seed-1"
    begun.mkdir(parents=True)
    (begun / "config.json").write_text("{}")
    (begun / "run.lock").touch()
    argv = ["sweep", "nav-maml", "--out", str(out), "--grid", "algorithm.inner.lr=0.1,0.2", "--seeds", "0..1"]
    argv += ["--jobs", "2", "--", *TINY]
    assert cli.main(argv) == 0
    return out, argv


def test_all_runs_are_there_and_in_the_table(swept):
    out, _ = swept
    rows = json.loads((out / "table.json").read_text())
    assert [(row["settings"], row["seeds"], row["of"]) for row in rows] == [("lr=0.1", 2, 2), ("lr=0.2", 2, 2)]
    for row in rows:
        curves = [json.loads(p.read_text()) for p in sorted((out / row["settings"]).glob("seed-*/eval/*.json"))]
        values = np.array([curve["returns"][-1] for curve in curves])
        assert values.shape == (2, 4)
        assert row["return"]["mean"] == pytest.approx(values.mean())
        assert row["return"]["iqm"] == pytest.approx(np.sort(values.ravel())[2:6].mean())
        assert row["return"]["interval"] is None and row["return"]["mean_interval"] is None  # of two seeds
        assert row["return"]["mean_of_each"] == pytest.approx(values.mean(axis=1))
        assert row["tasks"] == "4 held-out tasks" and "fewer than 5 seeds" in row["notes"][-1]
        assert curves[0]["task_seed"] == curves[1]["task_seed"]
        config = json.loads((out / row["settings"] / "seed-1" / "config.json").read_text())
        assert config["algorithm"]["inner"]["lr"] == float(row["algorithm.inner.lr"]) and config["seed"] == 1
    assert matplotlib.image.imread(out / "table.png").std() > 0.0


def finish(cell, returns, success):
    """Writes what a finished run on N tasks leaves."""
    curve = {"returns": [returns], "success": {"values": [success]}, "task": list(range(len(returns)))}
    curve |= {"task_env": ["x"] * len(returns), "all_tasks": False, "tasks": "held-out tasks", "notes": []}
    (cell.directory / "eval").mkdir(parents=True)
    (cell.directory / "summary.json").write_text('{"iterations": 3}')
    (cell.directory / "eval" / "iteration-3.json").write_text(json.dumps(curve))


@pytest.mark.parametrize("num_seeds", [1, 3, 6])
def test_table_over_seeds(tmp_path, capsys, monkeypatch, num_seeds):
    """80 % success is 0.80; from 2 to 4 seeds each is shown, from 5 on the interval that seeds and tasks give."""
    monkeypatch.setenv("COLUMNS", "200")
    rng = np.random.default_rng(0)
    returns = rng.normal(size=(num_seeds, 1)) + rng.normal(size=20)
    cells = sweep.expand(tmp_path, ["nav-maml"], [], range(num_seeds))
    for cell, values in zip(cells, returns, strict=True):
        finish(cell, values.tolist(), [1.0] * 16 + [0.0] * 4)
    (row,) = sweep.table(cells)
    assert set(row["success"]) == {"mean", "mean_interval", "mean_of_each"}
    assert row["success"]["mean"] == pytest.approx(0.8) and row["success"]["mean_of_each"] == pytest.approx(
        [0.8] * num_seeds
    )
    assert row["return"]["mean_interval"] == evaluation.estimate(returns).mean_interval
    console.print_sweep([row], sweep.words([row]))
    out = capsys.readouterr().out
    few = num_seeds == 3
    assert ("seeds: " + ", ".join(f"{x:.2f}" for x in returns.mean(axis=1)) in out) == few
    assert ("fewer than 5 seeds" in out) == few and ("nothing of other seeds" in out) == (num_seeds == 1)
    plots.settings([row], [], tmp_path / "table.png", "table")
    assert matplotlib.image.imread(tmp_path / "table.png").std() > 0.0


@pytest.mark.parametrize(
    ("grid", "scale", "places", "labels"),
    [
        (["algorithm.inner.lr=0.01,0.1,1"], "log", [[0.01, 0.1, 1.0]], [""]),
        (["algorithm.inner.steps=1,2,4"], "linear", [[1, 2, 4]], [""]),
        (["algorithm.inner.lr=0,0.5"], "linear", [[0, 0.5]], [""]),
        (["env=point,point-sparse", "horizon=10,200"], "log", [[10, 200]] * 2, ["env=point ", "env=point-sparse "]),
        (["env=point,point-sparse"], "linear", [[0, 1]], [""]),
        (["algorithm.optimizer.max_grad_norm=1,inf"], "linear", [[0, 1]], [""]),
    ],
)
def test_numbers_have_an_axis_of_numbers(tmp_path, monkeypatch, grid, scale, places, labels):
    """Logarithmic over a decade and more; names, and what is no number to draw, stand side by side."""
    drawn = []
    monkeypatch.setattr(plots, "finish", lambda figure, panels, path: drawn.append(panels["return"]))
    cells = sweep.expand(tmp_path, ["nav-maml"], grid, [0])
    point = {"iqm": 1.0, "interval": None, "iqm_of_each": [1.0]}
    rows = [{"settings": cell.name, **cell.settings, "return": point} for cell in cells]
    plots.settings(rows, list(cells[0].settings), tmp_path / "x.png", "title")
    (axes,) = drawn
    assert axes.get_xscale() == scale
    assert [list(bars[0].get_xdata()) for bars in axes.containers] == places
    assert [bars.get_label().removesuffix("IQM, 95 % interval") for bars in axes.containers] == labels
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    assert (names == [cell.name for cell in cells]) == (places == [[0, 1]])


def test_the_same_command_goes_on(swept, capfd):
    """Finished runs stay; one without a summary is resumed from its checkpoint."""
    out, argv = swept
    kept = (out / "lr=0.1" / "seed-0" / "summary.json").stat().st_mtime_ns
    (out / "lr=0.2" / "seed-1" / "summary.json").unlink()
    (cell,) = sweep.unfinished(sweep.expand(out, ["nav-maml"], ["algorithm.inner.lr=0.1,0.2"], [0, 1]))
    assert sweep.command(cell)[-2:] == ["--resume", str(cell.directory)]
    capfd.readouterr()
    assert cli.main(argv) == 0
    assert "4 runs, 3 of them finished" in capfd.readouterr().out
    assert (out / "lr=0.2" / "seed-1" / "summary.json").exists()
    assert (out / "lr=0.1" / "seed-0" / "summary.json").stat().st_mtime_ns == kept


def test_another_sweep_in_the_same_place(swept, capfd):
    out, argv = swept
    assert cli.main([word.replace("0.1,0.2", "0.1,0.3") for word in argv]) == 2
    assert "holds another sweep" in capfd.readouterr().err
    assert not (out / "lr=0.3").exists()


def test_a_failed_run_is_named(tmp_path, monkeypatch, capfd):
    """The others are run all the same."""
    real = sweep.command

    def command(cell):
        return [sys.executable, "-c", "exit(3)"] if cell.settings["seed-of-trouble"] == "1" else real(cell)

    cells = sweep.expand(tmp_path, ["nav-maml", *TINY], ["seed-of-trouble=1,2"], [0])
    cells[1] = cells[1]._replace(argv=("nav-maml", *TINY))
    monkeypatch.setattr(sweep, "command", command)
    lines = []
    sweep.run_here(cells, 1, lines.append)
    assert "failed with 3" in lines[0] and "done; 0 to go" in lines[1]
    assert [row["settings"] for row in sweep.table(cells)] == ["seed-of-trouble=2"]


PARENT = """
import subprocess, sys
import children
child = "import children, time; children.end_with_parent(); print(1, flush=True); time.sleep(99)"
process = children.start([sys.executable, "-c", child], stdout=subprocess.PIPE)
process.stdout.readline()
print(process.pid, flush=True)
process.wait()
"""


def test_children_end_with_their_parent():
    """Whatever ends it: SIGKILL leaves it no time to say so."""
    alone = {**os.environ, "PYTHONPATH": os.path.dirname(children.__file__)}  # without JAX it starts at once
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=alone)
    with parent:
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and _runs(child):
        time.sleep(0.05)
    assert not _runs(child)


def test_the_watcher_of_a_host_starts_its_child_as_a_sweep_does(tmp_path, monkeypatch):
    """The pipe that the child takes for our end is closed once it has ended, and its exit code is ours."""
    started, start = [], children.start

    def start_another(command, mark, **options):
        code = f"import os, sys; os.read(0, 1) if {mark!r} not in os.environ else sys.exit(3)"
        started.append(start([command[0], "-c", code], mark, **options))
        return started[0]

    monkeypatch.setattr(children, "start", start_another)
    monkeypatch.setattr(hosts.signal, "signal", lambda *_: None)
    assert hosts.watch(["nav-maml"], tmp_path) == 3 and started[0].stdin.closed


def _runs(pid):
    """Not where it has ended and nobody has asked how."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


def test_nothing_of_a_run_that_goes_on_is_removed(tmp_path):
    """Another process is writing there; what the sweep starts ends with one line."""
    (cell,) = sweep.expand(tmp_path, ["nav-maml", *TINY], [], [0])
    with RunLog.create(cell.directory, presets.PRESETS["nav-maml"].config):
        before = sorted(cell.directory.rglob("*"))
        _, _, _, *argv = sweep.command(cell)
        assert argv[:2] == ["train", "nav-maml"] and cli.main(argv) == 2
        assert sorted(cell.directory.rglob("*")) == before


@pytest.mark.slow
def test_jobs_of_submitit(tmp_path):
    """On its cluster of one machine, whose interface is that of Slurm."""
    cells = sweep.expand(tmp_path, ["nav-maml", *TINY], [], [0])
    sweep.run_on_slurm(cells, sweep.slurm_executor(tmp_path, {"timeout_min": 5}, cluster="local"))
    assert sweep.unfinished(cells) == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nav-mamm"], "nav-maml"),
        (["nav-maml", "--grid", "algorithm.inner.lr"], "write field=value"),
        (["nav-maml", "--seeds", "0", "0"], "distinct"),
        (["nav-maml", "--seeds", "3..1"], "0..7"),
        (["nav-maml", "--jobs", "0"], "--jobs"),
        (["nav-maml", "--slurm", "timeout"], "name=value"),
        (["nav-maml", "--", "--seed", "3"], "sweep's own"),
        (["nav-maml", "--grid", "algorithm.inner.lr=0.1,-1"], "inner.lr"),
        (["nav-maml", "--grid", "algorithm.inner.rate=1"], "rate"),
        (["nav-maml", "--grid", "seed=1,2"], "go to --seeds"),
        (["nav-maml", "--grid", "run-dir=a,b"], "sweep's own"),
        (["nav-maml", "--grid", "run_dir=a,b"], "sweep's own"),
        (["nav-maml", "--grid", "resume=a,b"], "sweep's own"),
        (["nav-maml", "--grid", "preset=a,b"], "sweep's own"),
        (["nav-maml", "--grid", "horizon=5,5"], "each value once"),
        (["nav-maml", "--grid", "algorithm.inner.lr=0.1,1e-1"], "are the same"),
        (["nav-maml", "--grid", "horizon=5,6", "--grid", "horizon=7,8"], "once for each field"),
        (["nav-maml", "--grid", "keep-checkpoints=5,6", "--grid", "keep_checkpoints=7,8"], "once for each field"),
        (["nav-maml", "--seeds"], "needs at least one"),
        (["nav-maml", "--seeds", "--jobs", "2"], "needs at least one"),
        (["nav-maml", "--", "--run_dir", "x"], "sweep's own"),
        (["nav-maml", "--grid", ""], "nothing stands after --grid"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, capfd, argv, words):
    """Before anything runs, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    try:
        code = cli.main(["sweep", *argv[:1], "--out", "out", *argv[1:]])
    except SystemExit as stop:
        code = stop.code
    captured = capfd.readouterr()
    assert code == 2 and words in captured.out + captured.err
    assert list(tmp_path.iterdir()) == []
