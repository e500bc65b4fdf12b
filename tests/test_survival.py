"""What a run survives: SIGKILL, damaged checkpoints, memory that runs out; and what the next start is spared: compiling."""

import json
import os
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import cli
from metarl_jax.learning import normalize
from metarl_jax.runs import checkpoint, runlog, training
from metarl_jax.runs.checkpoint import Checkpoints
from metarl_jax.types import Kept, RunState

TINY = [
    "--horizon",
    "4",
    "--algorithm.num-tasks",
    "2",
    "--algorithm.envs-per-task",
    "2",
    "--policy.network.hidden",
    "4",
]
TINY += ["--evaluation.tasks", "2", "--evaluation.episodes", "1"]
POINT = ["train", "--env", "point", "--run-dir", "run", "--iterations", "6", "--checkpoint-every", "2", *TINY]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of six iterations that nothing disturbed."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    assert cli.main([str(directory) if word == "run" else word for word in POINT]) == 0
    return directory


@pytest.fixture
def run(whole, copied):
    return copied(whole)


def losses(directory):
    return [(row["iteration"], row["loss"]) for row in runlog.read_metrics(directory)]


def steps_of(directory):
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())


def spoil(path, how):
    content = path.read_bytes()
    if how == "removed":
        path.unlink()
    elif how == "emptied":
        path.write_bytes(b"")
    else:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :])


def spoil_arrays(checkpoint):
    spoil(max((checkpoint / "default").rglob("d/*"), key=lambda path: path.stat().st_size), "flipped")


# SIGKILL.

AT_ONCE = "os.kill(os.getpid(), signal.SIGKILL)"
KILLS = {
    "while metrics are written": f"""
old = runlog.RunLog.log
def log(self, rows):
    old(self, rows)
    if rows[-1]["iteration"] == 5: {AT_ONCE}
runlog.RunLog.log = log""",
    "while a checkpoint is written": f"""
old = os.rename
def rename(source, to):
    if str(to).endswith("latest/4"): {AT_ONCE}
    old(source, to)
os.rename = rename""",
    "before its digests are written": f"""
old = checkpoint.write_atomically
def write(path, text):
    if path.parent.name == "4": {AT_ONCE}
    old(path, text)
checkpoint.write_atomically = write""",
}


@pytest.mark.parametrize(
    ("when", "kept"),
    [
        (when, kept) if "a checkpoint" in when else pytest.param(when, kept, marks=pytest.mark.slow)
        for when, kept in zip(KILLS, ([0, 2, 4], [0, 2], [0, 2, 4]), strict=True)
    ],
)
def test_killed(tmp_path, monkeypatch, whole, when, kept):
    """What is left are whole checkpoints; from the last one on the run is the one that nothing disturbed."""
    imports = "import os, signal, sys\nfrom metarl_jax import cli\nfrom metarl_jax.runs import checkpoint, runlog"
    code = f"{imports}\n{KILLS[when]}\nsys.exit(cli.main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *POINT], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert steps_of(tmp_path / "run" / "checkpoints" / "latest") == kept
    assert len(losses(tmp_path / "run")) == (5 if when == "while metrics are written" else 4)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--resume", "run"]) == 0
    assert losses(tmp_path / "run") == losses(whole)


# Damaged checkpoints.


def state(step):
    w = np.random.default_rng(step).normal(size=300).astype(np.float32)
    return RunState(jnp.array(step), {"w": w}, (), normalize.init(1), jnp.ones(()), Kept())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints 0, 2 and 4, the last one the best."""
    directory = tmp_path_factory.mktemp("saved")
    checkpoints = Checkpoints(directory, 3)
    for step, score in ((0, None), (2, (0.0, 1.0)), (4, (0.0, 2.0))):
        checkpoints.save(state(step))
        if score is not None:
            checkpoints.save_if_best(state(step), score)
    checkpoints.close()
    return directory


@pytest.mark.parametrize("how", ["removed", "emptied", "flipped"])
def test_damage_to_any_file_is_noticed(saved, tmp_path, capfd, how):
    """The checkpoint before is used, both are named, and the step can be saved again."""
    names = [path.relative_to(saved) for path in (saved / "latest" / "4").rglob("*") if path.is_file()]
    assert len(names) > 5
    for i, name in enumerate(names):
        copy = shutil.copytree(saved, tmp_path / str(i))
        spoil(copy / name, how)
        checkpoints = Checkpoints(copy, 3)
        np.testing.assert_array_equal(checkpoints.resume(state(0)).params["w"], state(2).params["w"])
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith(f"checkpoint 4 in {copy / 'latest'} is damaged: ") and line.endswith(
            "; using checkpoint 2"
        )
        assert name.name in line or name.name == "sha256.json"
        checkpoints.save(state(4))
        checkpoints.close()
        assert steps_of(copy / "latest") == [0, 2, 4] and (copy / "corrupt-latest-4").is_dir()
        np.testing.assert_array_equal(Checkpoints(copy, 3).restore(state(0)).params["w"], state(4).params["w"])
        assert capfd.readouterr().err == ""


def test_a_checkpoint_is_read_once(saved, tmp_path, monkeypatch, capfd):
    """However often it is asked for; but again where a byte has changed, even if its size and time say nothing of it."""
    copy, read = shutil.copytree(saved, tmp_path / "copy"), []
    digest = checkpoint._digest
    monkeypatch.setattr(checkpoint, "_digest", lambda path: read.append(path) or digest(path))
    checkpoints = Checkpoints(copy, 3)
    for _ in range(2):  # as training does: before it compiles, and when it goes on
        assert checkpoints.settle(state(0)) == 4
        assert checkpoints.resume(state(0)).step == 4
    assert len(read) == len(set(read)) > 5
    arrays = max((copy / "latest" / "4" / "default").rglob("d/*"), key=lambda path: path.stat().st_size)
    before = arrays.stat()
    spoil(arrays, "flipped")
    os.utime(arrays, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert arrays.stat().st_size == before.st_size
    assert checkpoints.resume(state(0)).step == 2
    assert (copy / "corrupt-latest-4").is_dir() and "using checkpoint 2" in capfd.readouterr().err


def test_no_whole_checkpoint(run, capfd):
    """Refused in one line, and nothing is moved."""
    for one in run.glob("checkpoints/*/*"):
        spoil_arrays(one)
    before = sorted((run / "checkpoints").rglob("*"))
    assert cli.main(["train", "--resume", "run", "--iterations", "8"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "checkpoint 6" in line and "no other one there is whole" in line
    assert sorted((run / "checkpoints").rglob("*")) == before


def test_a_damaged_best_checkpoint(run, capfd):
    """It cannot be evaluated, training goes on without it."""
    (best,) = (run / "checkpoints" / "best").iterdir()
    spoil(best / "metrics" / "metrics", "emptied")
    assert cli.main(["evaluate", "run", "--checkpoint", "best"]) == 2
    assert "use --checkpoint latest" in capfd.readouterr().err
    assert cli.main(["evaluate", "run", "--checkpoint", "latest"]) == 0
    assert cli.main(["train", "--resume", "run", "--iterations", "8"]) == 0
    assert steps_of(run / "checkpoints" / "best") == [8]


def test_resume_after_damage_repeats_the_run(run, whole, capfd):
    """A reader leaves the damaged checkpoint where it is; training moves it, and runs its iterations again."""
    newest = run / "checkpoints" / "latest" / "6"
    spoil_arrays(newest)
    assert cli.main(["evaluate", "run"]) == 0
    assert newest.is_dir() and "checkpoint 6" in capfd.readouterr().err
    (run / "summary.json").unlink()
    assert cli.main(["train", "--resume", "run"]) == 0
    assert losses(run) == losses(whole)
    assert json.loads((run / "summary.json").read_text())["iterations"] == 6
    assert newest.is_dir() and (run / "checkpoints" / "corrupt-latest-6").is_dir()


# Memory.


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes."),
        pytest.param(MemoryError("std::bad_alloc"), marks=pytest.mark.slow),
    ],
)
def test_out_of_memory(tmp_path, monkeypatch, capfd, error):
    """The third iteration does not fit: one line, exit code 1, and the checkpoint before it is whole."""
    begin = training.begin

    def begin_greedily(*args):
        begun = begin(*args)

        def greedy(states, count):
            if int(states.step[0]) == 2:
                raise error
            return begun.window(states, count)

        return begun._replace(window=greedy)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "begin", begin_greedily)
    assert cli.main(POINT) == 1
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("error: out of memory") and line.endswith("checkpoint 2 is whole.")
    for option in ("--algorithm.num-tasks", "--algorithm.envs-per-task", "--algorithm.task-chunks"):
        assert option in line
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--resume", "run"]) == 0


def test_other_errors_are_not_taken_for_it(tmp_path, monkeypatch):
    def broken(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: a defect")

    monkeypatch.chdir(tmp_path)
    begin = training.begin
    monkeypatch.setattr(training, "begin", lambda *args: begin(*args)._replace(window=broken))
    with pytest.raises(jax.errors.JaxRuntimeError, match="a defect"):
        cli.main(POINT)


# Compiled programs.


def start(words, cwd, **changes):
    """A process whose environment names no cache but those of `changes`."""
    env = {name: value for name, value in os.environ.items() if "CACHE" not in name}
    return subprocess.run([sys.executable, *words], cwd=cwd, env=env | changes, capture_output=True, text=True)


def test_the_second_start_compiles_no_window(tmp_path):
    """On C MuJoCo, whose host calls must not keep the program out of the cache; nor is it made for one length of run."""
    argv = ["-m", "metarl_jax.cli", "train", *TINY, "--run-dir"]
    environment = {"XDG_CACHE_HOME": str(tmp_path), "JAX_LOG_COMPILES": "1"}
    for name, iterations, served in (("first", "1", False), ("second", "2", True)):
        done = start([*argv, name, "--iterations", iterations], tmp_path, **environment)
        assert done.returncode == 0, done.stderr
        assert ("Persistent compilation cache hit for 'jit_windows'" in done.stderr) == served
    assert losses(tmp_path / "first") == losses(tmp_path / "second")[:1]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOME": "{here}"}, "{here}/.cache/metarl_jax"),
        ({"XDG_CACHE_HOME": "{here}"}, "{here}/metarl_jax"),
        ({"XDG_CACHE_HOME": "{here}", "JAX_COMPILATION_CACHE_DIR": "{here}/own"}, "{here}/own"),
        ({"XDG_CACHE_HOME": "/dev/null"}, "None"),
    ],
)
def test_where_programs_are_kept(tmp_path, monkeypatch, environment, expected):
    """JAX reads it of the environment, once it is imported."""
    for name in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(here=tmp_path))
    assert cli.main(["plot"]) == 2
    assert str(os.environ.get("JAX_COMPILATION_CACHE_DIR")) == expected.format(here=tmp_path)
