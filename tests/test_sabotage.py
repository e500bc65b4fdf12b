"""A hundred injected faults: no run is lost, and each goes on to be the one that nothing disturbed, bit for bit.

Kills and signals at random moments, damage to each file, disks that are full at any write, and lost workers of a sweep.
"""

import errno
import json
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from metarl_jax import cli
from metarl_jax.experiments.parts import make_env, restore
from metarl_jax.runs import children, runlog, sweep

pytestmark = pytest.mark.slow

TINY = "--env point --horizon 4 --algorithm.num-tasks 2 --algorithm.envs-per-task 2 --policy.network.hidden 4"
TINY += " --evaluation.tasks 2 --evaluation.episodes 1 --iterations 12 --checkpoint-every 2 --keep-checkpoints 9"
TRAIN = ["train", "nav-maml", *TINY.split(), "--run-dir", "run"]
OF_TIME = {"wall_seconds", "compile_seconds", "train_seconds", "env_steps_per_second", "memory_mib"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sabotage") / "run"
    assert cli.main([*TRAIN[:-1], str(directory)]) == 0
    return directory


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(directory):
    return [{n: x for n, x in row.items() if n not in OF_TIME} for row in runlog.read_metrics(directory)]


def state(directory):
    config = runlog.read_config(directory)
    return restore(directory, config, make_env(config, "train"), "latest")[1]


def go_on(directory):
    """Finishes the run as a user would: the command says how where it cannot be resumed yet."""
    begun = runlog.has_checkpoint(directory)
    assert cli.main(["train", "--resume", "run"] if begun else TRAIN) == 0


def check_same(directory, whole):
    """The run has ended as the one that nothing disturbed."""
    assert rows(directory) == rows(whole)
    jax.tree.map(np.testing.assert_array_equal, state(directory), state(whole))
    summaries = [json.loads((d / "summary.json").read_text()) for d in (directory, whole)]
    assert summaries[0]["return_after"] == summaries[1]["return_after"]


# Signals, in processes of their own.

BEGUN = "import sys, threading, time, os, signal\nfrom metarl_jax import cli\n"
HIT = (
    BEGUN
    + """
from metarl_jax.runs import runlog
seconds, numbers = float(sys.argv[1]), [int(n) for n in sys.argv[2].split(",")]
def hit():
    time.sleep(seconds)
    for number in numbers:
        os.kill(os.getpid(), number)
        time.sleep(0.05)
init = runlog.RunLog.__init__
def opened(self, directory):
    init(self, directory)
    threading.Thread(target=hit, daemon=True).start()
runlog.RunLog.__init__ = opened
sys.exit(cli.main(sys.argv[3:]))
"""
)
SIGNALS = {
    "killed": [signal.SIGKILL],
    "terminated": [signal.SIGTERM],
    "interrupted": [signal.SIGINT],
    "hung up": [signal.SIGHUP],
    "interrupted twice": [signal.SIGINT, signal.SIGINT],
    "terminated, interrupted": [signal.SIGTERM, signal.SIGINT],
    "terminated, killed": [signal.SIGTERM, signal.SIGKILL],
}


@pytest.mark.parametrize("how", SIGNALS)
def test_signals_at_random_moments(how, here, whole):
    """Three one after the other into the same run, the last of which is then finished."""
    rng = np.random.default_rng(list(SIGNALS).index(how))
    for seconds in rng.uniform(0.0, 2.5, 3):
        begun = runlog.has_checkpoint(here / "run")
        argv = ["train", "--resume", "run"] if begun else TRAIN
        numbers = ",".join(str(int(number)) for number in SIGNALS[how])
        done = subprocess.run([sys.executable, "-c", HIT, f"{seconds}", numbers, *argv], capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode in {0, *(-int(n) for n in SIGNALS[how]), *(128 + int(n) for n in SIGNALS[how])}, (
            done.stderr
        )
    go_on(here / "run")
    check_same(here / "run", whole)


# Damage to each file.

DAMAGE = {
    "removed": None,
    "emptied": lambda content: b"",
    "a bit flipped": lambda c: c[: len(c) // 2] + bytes(x ^ 0x10 for x in c[len(c) // 2 :][:1]) + c[len(c) // 2 + 1 :],
    "binary": lambda content: b"\0\xff\x07" * 50,
}
FILES = ["config.json", "metrics.jsonl", "summary.json", "run.lock", "checkpoints/config.json", "tensorboard/*"]
FILES += ["eval/*.json", "plots/learning.png", "checkpoints/best/*/sha256.json", "checkpoints/latest/12/sha256.json"]
FILES += ["checkpoints/latest/12/default/d/*", "checkpoints/latest/12/default/manifest.ocdbt"]
FILES += ["checkpoints/latest/10/sha256.json", "checkpoints/latest/12/_CHECKPOINT_METADATA"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("how", DAMAGE)
def test_damage_to_each_file(file, how, whole, copied):
    """What of it a resumed run needs is mended."""
    run = copied(whole)
    for path in run.glob(file):
        path.unlink() if DAMAGE[how] is None else path.write_bytes(DAMAGE[how](path.read_bytes()))
    if file == "metrics.jsonl" or "summary" in file or "eval" in file:
        (run / "summary.json").unlink(missing_ok=True)
    go_on(run)
    assert [row["iteration"] for row in rows(run)] == list(range(1, 13))
    assert [row["loss"] for row in rows(run)] == [row["loss"] for row in rows(whole)]
    jax.tree.map(np.testing.assert_array_equal, state(run), state(whole))


# Disks that are full, or may only be read.


@pytest.mark.parametrize("number", range(2, 22))
@pytest.mark.parametrize("code", [errno.ENOSPC])
def test_a_disk_that_fails_at_some_write(number, code, here, whole, monkeypatch, capfd):
    """One line; with room again, the run goes on."""
    count = 0
    replace = os.replace

    def failing(source, to, **options):
        nonlocal count
        count += str(here) in str(os.path.abspath(to))
        if count == number:
            raise OSError(code, os.strerror(code), str(to))
        return replace(source, to, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        answer = cli.main(TRAIN)
    err = capfd.readouterr().err
    assert answer == 0 or (answer == 2 and os.strerror(code) in err.splitlines()[-1])
    go_on(here / "run")
    check_same(here / "run", whole)


# Lost workers of a sweep.


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_lost_workers_of_a_sweep(victim, here, whole, monkeypatch):
    """One of three is killed as it starts; the same command again ends all."""
    argv = ["sweep", "nav-maml", "--out", "out", "--seeds", "0..2", "--jobs", "2", "--", *TINY.split()]
    start = children.start

    def shot(command, **options):
        process = start(command, **options)
        if str(victim) in command[-1].rpartition("-")[2]:
            process.kill()
        return process

    with monkeypatch.context() as patch:
        patch.setattr(sweep.children, "start", shot)
        assert cli.main(argv) == 1
    assert cli.main(argv) == 0
    assert rows(here / "out" / "default" / "seed-0") == rows(whole)
