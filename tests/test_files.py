"""Files of a run that were damaged, and entries that nobody expects there: noticed, named, mended or passed over."""

import dataclasses
import errno
import json
import os
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import cli
from metarl_jax.config import to_json
from metarl_jax.errors import ConfigError
from metarl_jax.learning import normalize
from metarl_jax.presets import PRESETS
from metarl_jax.runs import metrics, runlog, sweep
from metarl_jax.runs.checkpoint import Checkpoints
from metarl_jax.runs.clock import Clock, rate
from metarl_jax.runs.runlog import RunLog
from metarl_jax.types import Kept, RunState

CONFIG = dataclasses.replace(PRESETS["nav-maml"].config, iterations=6)
STEPS = 3 * 10**7  # of an iteration: more than float32 tells exactly


def row(iteration):
    """Metrics of a program are float32, seconds are not."""
    of_program = np.random.default_rng(iteration).normal(size=3).astype(np.float32).tolist()
    seconds = dict.fromkeys(metrics.FIELDS, 0.1 + iteration)
    values = dict(zip(("loss", "return_before", "return_after"), of_program, strict=True))
    return {"iteration": iteration, "env_steps": iteration * STEPS, **seconds, **values, "kl": None}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run of six iterations, the fourth and the last of them evaluated, without its checkpoints."""
    directory = tmp_path_factory.mktemp("files") / "run"
    with RunLog.create(directory, CONFIG) as log:
        for iterations in ((1, 2, 3, 4), (5, 6)):
            log.log(map(row, iterations))
            log.add_to_last({"eval_return_after": iterations[-1] / 2})
    return directory


@pytest.fixture
def run(written, copied):
    return copied(written)


def files(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# The configuration.


def changed(name, value):
    """The text of a configuration with another value of the field with this dotted name."""
    data = json.loads(to_json(CONFIG))
    *way, last = name.split(".")
    inner = data
    for part in way:
        inner = inner[part]
    inner[last] = value
    return json.dumps(data)


FIELDS = [
    ("horizon", "x"),
    ("horizon", 1.5),
    ("horizon", True),
    ("seed", None),
    ("env", 3),
    ("evaluation.tasks", [4]),
    ("evaluation", 4),
    ("policy.network.hidden", "64"),
    ("policy.network.hidden", 64),
    ("policy.network.activation", "sine"),
    ("policy.network.name", "mlpp"),
    ("policy.memory.name", "lrus"),
    ("policy.distribution", "gauss"),
    ("policy.normalize_obs", 1),
    ("policy.compute_dtype", "float8"),
    ("algorithm.inner.surrogate", "ratios"),
    ("algorithm.optimizer.lr_schedule", "cosin"),
    ("algorithm.optimizer.lr", "0.1"),
    ("algorithm.optimizer.lr", float("nan")),
    ("algorithm.optimizer.lr", 10**400),
    ("algorithm.name", ["maml-ppo"]),
]
TEXTS = ["", "null", "[]", "{", "\x00\xff", "[" * 10**5, '{"version": "0.2", "algorithm": null}']


@pytest.mark.parametrize(("field", "value"), [*FIELDS, *((None, text) for text in TEXTS)])
def test_a_spoiled_configuration(run, capfd, field, value):
    """One line that names the file, and the field where it is one; where there is a copy, that is used."""
    (run / "config.json").write_text(value if field is None else changed(field, value))
    assert runlog.read_config(run) == CONFIG
    assert capfd.readouterr().err.startswith(f"{run / 'config.json'} is missing or damaged")
    (run / "checkpoints" / "config.json").unlink()
    assert cli.main(["plot", "run"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: run/config.json: ") and (field or "") in line and len(line) < 300


def test_an_element_of_a_list_is_named(run, capfd):
    for path in run.rglob("config.json"):
        path.write_text(changed("policy.network.hidden", [64, "64"]))
    assert cli.main(["plot", "run"]) == 2
    assert 'policy.network.hidden[1] must be a whole number, not "64"' in capfd.readouterr().err


# Metrics.


def line_without(name):
    return lambda lines: [
        *lines[:2],
        json.dumps({n: x for n, x in json.loads(lines[2]).items() if n != name}),
        *lines[3:],
    ]


def replaced(old, new):
    return lambda lines: [*lines[:2], lines[2].replace(old, new, 1), *lines[3:]]


SHOWN = {  # what every reader sees
    "deleted": lambda lines: None,
    "emptied": lambda lines: [],
    "binary": lambda lines: ["\x00\udcff\x07" * 50],
    "a line of null": lambda lines: [*lines[:2], "null", *lines[3:]],
    "a line gone": lambda lines: [*lines[:2], *lines[3:]],
    "a line twice": lambda lines: [*lines[:3], *lines[2:]],
    "the last line cut": lambda lines: [*lines[:5], lines[5][:40]],
    "without its steps": line_without("env_steps"),
    "without a return": line_without("return_after"),
    "a text": replaced('"loss": ', '"loss": "low", "loss_": '),
    "a name without its end": replaced('"loss"', '"loss'),
    "deeply nested": lambda lines: [*lines[:2], "[" * 10**5, *lines[3:]],
    "an iteration of text": replaced('"iteration": 3', '"iteration": "3"'),
    "an iteration that is there": replaced('"iteration": 3', '"iteration": 2'),
    "a number beyond all": replaced('"iteration": 3', '"iteration": 3' + "0" * 5000),
}
HIDDEN = {  # what is seen beside TensorBoard's files alone, where a run goes on
    "the last line gone": lambda lines: lines[:5],
    "a digit flipped": replaced('"loss": ', '"loss": 1'),
    "a name flipped": replaced('"loss"', '"lozs"'),
    "without a metric": line_without("loss"),
    "other steps": replaced('"env_steps": 9', '"env_steps": 8'),
}


def spoil(run, how):
    path = run / "metrics.jsonl"
    lines = how(path.read_text().splitlines())
    path.unlink()
    if lines is not None:
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))


def told(rows):
    """What of the rows is exact: seconds come back as float32, and of what is null nothing is told."""
    return [{name: x for name, x in row.items() if name not in metrics.FIELDS and x is not None} for row in rows]


@pytest.mark.parametrize("damage", [*SHOWN, *HIDDEN])
def test_metrics_are_mended(run, written, capfd, damage):
    """From TensorBoard's files, when a run goes on, exactly, and with a word."""
    spoil(run, (SHOWN | HIDDEN)[damage])
    with RunLog(run) as log:
        log.mend(6, STEPS)
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith(f"{run / 'metrics.jsonl'} was damaged: ") and (
            "tensorboard" in line or "twice" in damage
        )
        rows, whole = runlog.read_metrics(run), runlog.read_metrics(written)
        assert told(rows) == told(whole)
        for name in metrics.FIELDS:
            np.testing.assert_allclose([row[name] for row in rows], [row[name] for row in whole], rtol=1e-6)
        log.mend(6, STEPS)
        assert capfd.readouterr().err == "" and runlog.read_metrics(run) == rows


@pytest.mark.parametrize("damage", SHOWN)
def test_readers_mend_what_they_see(run, written, capfd, damage):
    spoil(run, SHOWN[damage])
    before = files(run)
    assert told(metrics.read_mended(run)) == told(runlog.read_metrics(written))
    assert capfd.readouterr().err.startswith(f"{run / 'metrics.jsonl'} was damaged: ")
    assert files(run) == before


@pytest.mark.parametrize("damage", [*SHOWN, "the last line gone"])
def test_what_nobody_tells_is_said_aloud(run, written, capfd, damage):
    """The row of a lost iteration holds nulls, and a summary can be made all the same."""
    shutil.rmtree(run / "tensorboard")
    spoil(run, (SHOWN | HIDDEN)[damage])
    with RunLog(run) as log:
        log.mend(6, STEPS)
        assert ("lost" in capfd.readouterr().err) == (damage != "a line twice")
        rows = runlog.read_metrics(run)
        assert [(row["iteration"], row["env_steps"]) for row in rows] == [(i, i * STEPS) for i in range(1, 7)]
        for row, whole in zip(rows, runlog.read_metrics(written), strict=True):
            assert row == whole or all(row[name] is None for name in ("wall_seconds", "return_before", "return_after"))
        log.add_to_last({"eval_return_after": 0.5})
        assert log.last_row_has("eval_return_after")
    assert rate(rows) >= 0.0 and Clock(run).training >= 0.0
    metrics.read_mended(run)
    assert capfd.readouterr().err == ""  # once


def test_a_plot_of_damaged_metrics(run, capfd):
    spoil(run, SHOWN["the last line cut"])
    assert cli.main(["plot", "run"]) == 0
    assert "iteration 6 is taken from tensorboard/" in capfd.readouterr().err
    shutil.rmtree(run / "tensorboard")
    spoil(run, SHOWN["deleted"])
    assert cli.main(["plot", "run"]) == 2
    assert "has no metrics" in capfd.readouterr().err


def test_damaged_event_files(run, written):
    """Their records have checksums: what is wrong there corrects nothing."""
    (path,) = (run / "tensorboard").iterdir()
    content = path.read_bytes()
    for at in range(0, len(content), 29):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert metrics.mend(run, 6, STEPS) == (runlog.read_metrics(written), None)


def test_rows_that_were_run_again(run, capfd):
    """What TensorBoard was told of them before a roll-back does not count."""
    with RunLog(run) as log:
        log.truncate(3)
        log.log([row(4) | {"loss": 7.0}])
        spoil(run, lambda lines: lines[:3])
        log.mend(4, STEPS)
        assert [r["loss"] for r in runlog.read_metrics(run)][3:] == [7.0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"wall_seconds": "long"}', '{"wall_seconds": null}', "\x00"])
def test_a_spoiled_summary_does_not_stop_a_run(run, capfd, text):
    (run / "summary.json").write_text(text)
    assert Clock(run).read()["train_seconds"] == 6.1
    assert "summary.json is damaged" in capfd.readouterr().err


# Checkpoints.


def state(step):
    w = np.random.default_rng(step).normal(size=300).astype(np.float32)
    return RunState(jnp.array(step), {"w": w}, (), normalize.init(1), jnp.ones(()), Kept())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints 0, 2 and 4, of which 2 is the best."""
    directory = tmp_path_factory.mktemp("saved")
    checkpoints = Checkpoints(directory, 3)
    for step in (0, 2, 4):
        checkpoints.save(state(step))
    checkpoints.save_if_best(state(2), (0.0, 1.0))
    checkpoints.close()
    return directory


def with_manifest(text):
    return lambda latest: (latest / "4" / "sha256.json").write_text(text)


def shorter_manifest(latest):
    path = latest / "4" / "sha256.json"
    path.write_text(json.dumps(dict(list(json.loads(path.read_text()).items())[1:])))


ODD = {
    "no manifest": (lambda latest: (latest / "4" / "sha256.json").unlink(), "checkpoint 4", 2),
    "a list": (with_manifest("[]"), "checkpoint 4", 2),
    "nothing": (with_manifest("{}"), "checkpoint 4", 2),
    "null": (with_manifest("null"), "checkpoint 4", 2),
    "not JSON": (with_manifest("\x00"), "checkpoint 4", 2),
    "no digests": (with_manifest('{"commit_success.txt": 3}'), "checkpoint 4", 2),
    "a file too few": (shorter_manifest, "checkpoint 4", 2),
    "an empty directory": (lambda latest: (latest / "99").mkdir(), "checkpoint 99", 4),
    "a file": (lambda latest: (latest / "12").write_text("x"), "12 in", 4),
    "a copy": (lambda latest: shutil.copytree(latest / "2", latest / "99"), "checkpoint 99", 4),
    "a name": (lambda latest: (latest / "007").mkdir(), "007 in", 4),
    "no number": (lambda latest: (latest / "²").mkdir(), "² in", 4),
    "notes": (lambda latest: (latest / "notes.txt").write_text("x"), "notes.txt in", 4),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_checkpoints_are_passed_over(saved, tmp_path, capfd, odd):
    """Named once, by readers and by a run that goes on, which is not in its way: what it saves is the newest."""
    spoil, name, step = ODD[odd]
    copy = shutil.copytree(saved, tmp_path / "checkpoints")
    spoil(copy / "latest")
    before = files(copy)
    assert int(Checkpoints(copy, 3).restore(state(0)).step) == step
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(name) and line.endswith(f"using checkpoint {step}") and files(copy) == before
    checkpoints = Checkpoints(copy, 3)
    assert checkpoints.settle(state(0)) == step and int(checkpoints.resume(state(0)).step) == step
    assert len(capfd.readouterr().err.splitlines()) == 1
    assert set(before.values()) <= set(files(copy).values())  # nothing is lost
    checkpoints.save(state(5))
    checkpoints.close()
    assert int(Checkpoints(copy, 3).restore(state(0)).step) == 5


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_the_best_checkpoint_is_the_last_resort(saved, tmp_path, capfd, how):
    copy = shutil.copytree(saved, tmp_path / "checkpoints")
    for checkpoint in (copy / "latest").iterdir():
        (checkpoint / "sha256.json").unlink()
    if how == "gone":
        shutil.rmtree(copy / "latest")
    assert int(Checkpoints(copy, 3).restore(state(0)).step) == 2
    assert "using the best one, checkpoint 2" in capfd.readouterr().err
    checkpoints = Checkpoints(copy, 3)
    assert int(checkpoints.resume(state(0)).step) == 2 and checkpoints.latest_step == 2
    checkpoints.close()
    (copy / "best" / "2" / "sha256.json").unlink()
    (copy / "latest" / "2" / "sha256.json").unlink()
    with pytest.raises(ConfigError, match="no other one there is whole"):
        Checkpoints(copy, 3).restore(state(0))


# A run that has not begun.

NOT_BEGUN = {
    "nothing but its lock": [],
    "no checkpoint": ["config.json", "metrics.jsonl", "tensorboard/events"],
    "a configuration that was not finished": ["config.json.part"],
    "a checkpoint that was not finished": ["config.json", "checkpoints/latest/0/default/d/x"],
    "one that was not renamed": ["config.json", "checkpoints/latest/0.orbax-checkpoint-tmp-1/x"],
}
BEGUN = {
    "metrics": ["config.json", "metrics.jsonl:x"],
    "a checkpoint": ["config.json", "checkpoints/latest/0/sha256.json"],
    "a best one": ["config.json", "checkpoints/best/2/sha256.json"],
    "something else": ["thesis.tex"],
}


@pytest.mark.parametrize("there", [*NOT_BEGUN, *BEGUN])
def test_what_has_not_begun_can_be_begun(tmp_path, there):
    directory = tmp_path / "run"
    for name in ["run.lock", *(NOT_BEGUN | BEGUN)[there]]:
        name, _, text = name.partition(":")
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    if there == "something else":
        (directory / "run.lock").unlink()
    before = files(directory)
    if there in BEGUN:
        with pytest.raises(ConfigError, match="not empty"):
            RunLog.create(directory, CONFIG)
        assert files(directory) == before
        return
    RunLog.create(directory, CONFIG).close()
    assert runlog.read_config(directory) == CONFIG
    checkpoints = Checkpoints(directory / "checkpoints", 3)
    assert checkpoints.settle(state(0)) is None
    checkpoints.save(state(0))
    checkpoints.close()
    assert runlog.has_checkpoint(directory)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path, monkeypatch, capfd, code):
    """As on shared storage of clusters: a warning, and on."""

    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(runlog.fcntl, "flock", flock)
    RunLog.create(tmp_path / "run", CONFIG).close()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path / 'run'} cannot be locked: ")
    assert runlog.read_config(tmp_path / "run") == CONFIG


# Sweeps.


@pytest.mark.parametrize("text", ["", "null", "\x00", "[" * 10**5])
def test_a_spoiled_plan(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(ConfigError, match=r"Remove it|holds another sweep"):
        sweep.claim(tmp_path, {"train": []})
    assert (tmp_path / "sweep.json").read_text() == text


CURVE = {"returns": [[1.0, 2.0]], "task": [0, 1], "task_env": ["x", "x"], "all_tasks": False, "tasks": "2", "notes": []}
SPOILED = {
    "summary.json": ["", "[]", "{}", '{"iterations": "3"}', '{"iterations": 4}', '{"iterations": true}'],
    "eval/iteration-3.json": [
        "",
        "[]",
        *(json.dumps({n: x for n, x in CURVE.items() if n != name}) for name in CURVE),
        json.dumps(CURVE | {"returns": []}),
        json.dumps(CURVE | {"returns": [[1.0]]}),
        json.dumps(CURVE | {"returns": [["1.0", 2.0]]}),
        json.dumps(CURVE | {"success": {"values": [0.5]}}),
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in SPOILED.items() for text in texts])
def test_a_spoiled_outcome(tmp_path, capfd, name, text):
    """The run counts as one that has not ended, and the table leaves it out."""
    (cell,) = sweep.expand(tmp_path, ["nav-maml"], [], [0])
    (cell.directory / "eval").mkdir(parents=True)
    (cell.directory / "summary.json").write_text('{"iterations": 3}')
    (cell.directory / "eval" / "iteration-3.json").write_text(json.dumps(CURVE))
    assert sweep.unfinished([cell]) == []
    (cell.directory / name).write_text(text)
    assert sweep.unfinished([cell]) == [cell] and sweep.table([cell]) == []
    lines = capfd.readouterr().err.splitlines()
    assert len(set(lines)) == 1 and str(cell.directory) in lines[0]
