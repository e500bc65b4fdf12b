"""Hundreds of bad inputs to all commands: each is one line and exit code 2, and nothing is written or replaced.

Options with values that nothing of their type takes; bad_input.txt, of what is wrong beyond types; and damaged files.
"""

import dataclasses
import json
import shlex
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from metarl_jax import cli, evaluation
from metarl_jax.algorithms import ALGORITHMS, online
from metarl_jax.benchmarks import accelerator, physics, throughput
from metarl_jax.cli import adapt, bench, diagnose, evaluate, hosts, paths, sweep, train, video
from metarl_jax.presets import PRESETS
from metarl_jax.runs import judging, training
from metarl_jax.runs import sweep as runs_of_sweep

pytestmark = pytest.mark.slow

LINES = Path(__file__).with_name("bad_input.txt").read_text().splitlines()
LINES = [line for line in LINES if line and not line.startswith("#")]

TINY = "--env point --horizon 4 --algorithm.num-tasks 2 --algorithm.envs-per-task 2 --policy.network.hidden 4"
TINY += " --evaluation.tasks 2 --evaluation.episodes 1 --iterations 6 --checkpoint-every 2"

# What no option of a type takes, whatever it is for.
NOTHING = {
    int: ["x", "-7", "1.5", "nan", "inf", "1e3", "9" * 30, "-" + "9" * 30, "100000000000", "[/x]", "0x10"],
    float: ["x", "nan", "-inf", "1,5", "[/x]", "größe", "1" + "0" * 30 + "x"],
    bool: ["maybe", "2", "[/x]"],
    str: ["nonsense", "[/x]", "größe", "../..", "a b", "." * 5000, "a\nb", "\0"],
    Path: ["file/x.png", "/dev/null/x.png", "x" * 300 + "/x.png", "loop/x.png", "a\nb.png", "\0.png"],
}
OPTIONS = {
    "train nav-maml --run-dir new": PRESETS["nav-maml"].config,
    "train nav-maml --run-dir=new": train.TrainOptions,
    "evaluate run": evaluate.EvaluateOptions,
    "evaluate run --on metaworld": evaluate.EvaluateOptions,
    "adapt run": adapt.AdaptOptions,
    "video run": video.VideoOptions,
    "video --env cheetah-dir": video.VideoOptions,
    "paths run": paths.PathsOptions,
    "diagnose run": diagnose.DiagnoseOptions,
    "sweep nav-maml --out new": sweep.SweepOptions,
    "bench physics": bench.BenchOptions,
    **{f"train nav-maml --run-dir new --algorithm {name}": entry.config for name, entry in ALGORITHMS.items()},
}
POSITIONAL = {"run", "runs", "preset", "name"}


class Accepted(BaseException):
    """Something began that was to be refused."""


def accept(*_, **__):
    raise Accepted


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of six iterations."""
    directory = tmp_path_factory.mktemp("bad-input") / "run"
    assert cli.main(["train", "nav-maml", *TINY.split(), "--run-dir", str(directory)]) == 0
    return directory


@pytest.fixture
def place(whole, copied, tmp_path, monkeypatch):
    """What bad_input.txt names, in the current directory; nothing begins."""
    copied(whole)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    for name in ("file", "full/x"):
        (tmp_path / name).write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    for module in (accelerator, physics, throughput):
        monkeypatch.setattr(module, "measure", accept)
    monkeypatch.setattr(training, "begin", accept)
    monkeypatch.setattr(judging.Judge, "__call__", accept)
    monkeypatch.setattr(evaluation, "adaptation", accept)
    monkeypatch.setattr(online, "compare", accept)
    monkeypatch.setattr(hosts, "watch", accept)
    monkeypatch.setattr(runs_of_sweep, "run_here", accept)
    return tmp_path


def contents(directory):
    return {path: path.read_bytes() if path.is_file() else None for path in directory.rglob("*")}


def wrong(words, place, capfd, before):
    """What is wrong with how a command answers; None where it is as it should be."""
    try:
        code = cli.main(words)
    except BaseException as error:  # whatever it is, it would have been a traceback
        code = repr(error)[:200]
    out, err = capfd.readouterr()
    written = contents(place) != before
    if code == 2 and not out and not written and len(err.splitlines()) == 1 and err.startswith("error: "):
        return None
    return f"{shlex.join(words)[:120]} -> {code} {err[:300]!r}{out[:80]!r}{' and wrote' * written}"


def check(lines, place, capfd):
    """All of these are refused."""
    before = contents(place)
    assert [complaint for words in lines if (complaint := wrong(words, place, capfd, before))] == []


def options(cls, prefix=""):
    """(dotted name, type) of every option of a dataclass, or a configuration, but for positional ones."""
    for name, hint in typing.get_type_hints(cls if isinstance(cls, type) else type(cls)).items():
        value = getattr(cls, name, None)
        inside = value if dataclasses.is_dataclass(value) else hint
        if dataclasses.is_dataclass(inside):
            yield from options(inside, f"{prefix}{name}.")
        elif name not in POSITIONAL:
            parts = {
                hint,
                *typing.get_args(hint),
                *(x for part in typing.get_args(hint) for x in typing.get_args(part)),
            }
            yield prefix + name, next((kind for kind in NOTHING if kind in parts), str)


@pytest.mark.parametrize("command", OPTIONS)
def test_values_that_nothing_takes(command, place, capfd):
    prefix = "algorithm." * ("--algorithm " in command)
    pairs = [(name, value) for name, kind in options(OPTIONS[command], prefix) for value in NOTHING[kind]]
    check([[*command.split(), f"--{name.replace('_', '-')}={value}"] for name, value in pairs], place, capfd)


@pytest.mark.parametrize("command", sorted({line.split()[0] for line in LINES if line.split()[0] in cli.COMMANDS}))
def test_what_is_wrong_beyond_types(command, place, capfd):
    check([shlex.split(line) for line in LINES if line.split()[0] == command], place, capfd)


def test_no_command(place, capfd):
    check([shlex.split(line) for line in LINES if line.split()[0] not in cli.COMMANDS], place, capfd)


@pytest.mark.parametrize("line", LINES[::13])
def test_from_a_shell(line, place):
    before = contents(place)
    done = subprocess.run([sys.executable, "-m", "metarl_jax.cli", *shlex.split(line)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")
    assert contents(place) == before


# Damaged files.


def without(name):
    return lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != name})


def having(name, value):
    return lambda text: json.dumps(json.loads(text) | {name: value})


TEXTS = {
    "empty": lambda text: "",
    "null": lambda text: "null",
    "a list": lambda text: "[]",
    "an object": lambda text: "{}",
    "cut": lambda text: text[: len(text) // 2],
    "binary": lambda text: "\0\x07" * 50,
    "nested": lambda text: "[" * 10**5,
}
FIELDS = {
    "beyond all": lambda text: "1e999",
    "a letter flipped": lambda text: text.replace("horizon", "horizoo"),
    "without iterations": without("iterations"),
    "iterations of text": having("iterations", "6"),
    "iterations that nobody counts": having("iterations", 10**12),
    "no iterations": having("iterations", 0),
    "an environment of nothing": having("env", None),
    "an environment that is none": having("env", "[/x]"),
    "a policy of text": having("policy", "x"),
    "an algorithm of numbers": having("algorithm", [3]),
    "another version": having("version", "0.1"),
    "no version": without("version"),
    "a field more": having("x", 3),
}
READERS = ["evaluate run", "adapt run", "video run --out new.gif", "paths run", "train --resume run"]


@pytest.mark.parametrize("damage", [*TEXTS, *FIELDS])
def test_a_configuration_without_a_whole_copy(damage, place, capfd):
    for path in (place / "run").rglob("config.json"):
        path.write_text((TEXTS | FIELDS)[damage](path.read_text()))
    check([line.split() for line in READERS], place, capfd)


@pytest.mark.parametrize("damage", [*TEXTS, "removed"])
def test_no_checkpoint_is_whole(damage, place, capfd):
    for path in (place / "run").rglob("sha256.json"):
        path.unlink() if damage == "removed" else path.write_text(TEXTS[damage](path.read_text()))
    check([line.split() for line in READERS], place, capfd)


@pytest.mark.parametrize("damage", TEXTS)
def test_a_sweep_whose_plan_is_damaged(damage, place, capfd):
    (place / "empty" / "sweep.json").write_text(TEXTS[damage]('{"train": []}'))
    check([["sweep", "nav-maml", "--out", "empty"]], place, capfd)


def test_how_many():
    there = [(name, value) for cls in OPTIONS.values() for name, kind in options(cls) for value in NOTHING[kind]]
    assert len(LINES) >= 300 and len(there) >= 1000
