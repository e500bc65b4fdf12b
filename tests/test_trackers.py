"""Metrics at Weights & Biases and MLflow, offline, by their own packages."""

import json
import struct
import time

import pytest

from metarl_jax import presets
from metarl_jax.cli.options import read
from metarl_jax.cli.train import TrainOptions, parse_train
from metarl_jax.errors import ConfigError
from metarl_jax.experiments import job
from metarl_jax.experiments.job import Job
from metarl_jax.runs import metrics, runlog, trackers
from metarl_jax.runs.runlog import RunLog

CONFIG = presets.PRESETS["nav-maml"].config
pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages say to their authors


def rows(first, last, loss=0.5):
    rest = dict.fromkeys((*metrics.FIELDS, "return_before", "return_after"), 1.0) | {"success_after/reach-v3": None}
    return [{"iteration": i, "env_steps": 10 * i, "loss": loss * i, **rest} for i in range(first, last + 1)]


def run_twice(directory, kind):
    """A run that goes back from iteration 4 to 2, ends, and is resumed; what it is called there, both times."""
    with job.opened(Job(CONFIG, directory, log=(kind,))) as (run,):
        run.log.log(rows(1, 4))
        run.log.truncate(2)
        run.log.log(rows(3, 3, loss=2.0))
        run.log.add_to_last({"eval_return_after": 7.0})
    names = [json.loads((directory / "trackers.json").read_text())[kind]]
    (directory / "checkpoints" / "latest" / "3").mkdir(parents=True)
    (directory / "checkpoints" / "latest" / "3" / runlog.MANIFEST).write_text("{}")
    with job.opened(Job(CONFIG, directory, resume=True)) as (run,):
        run.log.log(rows(4, 4))
    return [*names, json.loads((directory / "trackers.json").read_text())[kind]]


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """A client of a store in a file."""
    pytest.importorskip("sqlalchemy")
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    return tracking.MlflowClient()


def test_mlflow(mlflow, tmp_path):
    first, second = run_twice(tmp_path / "run", "mlflow")
    assert first == second
    found = mlflow.get_run(first)
    told = [(m.step, m.value) for m in mlflow.get_metric_history(first, "loss")]
    assert sorted(told) == [(1, 0.5), (2, 1.0), (3, 1.5), (3, 6.0), (4, 2.0), (4, 2.0)]
    assert [(m.step, m.value) for m in mlflow.get_metric_history(first, "eval_return_after")] == [(3, 7.0)]
    assert mlflow.get_metric_history(first, "success_after/reach-v3") == []  # of which nothing was known
    params = found.data.params
    assert (params["preset"], params["algorithm.name"], params["algorithm.inner.lr"]) == ("nav-maml", "maml-ppo", "0.1")
    assert found.info.status == "FINISHED" and found.info.run_name == "run"
    assert mlflow.get_experiment(found.info.experiment_id).name == "metarl_jax"


def test_an_mlflow_run_that_is_gone_and_one_that_fails(mlflow, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    with pytest.raises(RuntimeError), RunLog.create(tmp_path / "run", CONFIG) as log:
        (tmp_path / "run" / "trackers.json").write_text('{"mlflow": "0123456789abcdef0123456789abcdef"}')
        log.track((), CONFIG)
        raise RuntimeError
    assert "mlflow does not know the run any more" in capfd.readouterr().err
    found = mlflow.get_run(json.loads((tmp_path / "run" / "trackers.json").read_text())["mlflow"])
    assert found.info.status == "FAILED" and mlflow.get_experiment(found.info.experiment_id).name == "mine"


def records(path):
    """The records of a file of Weights & Biases, which are framed as those of LevelDB's log."""
    content, at, parts = path.read_bytes(), 7, []
    while at + 7 <= len(content):
        if 2**15 - at % 2**15 < 7:  # a frame's head is never split
            at += 2**15 - at % 2**15
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        parts.append(content[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # the whole record, or its last part
            yield b"".join(parts)
            parts = []


def told_to_wandb(directory, name):
    """Histories, configuration and exit codes of all its files; its process writes them when it gets to it."""
    from wandb.proto.wandb_internal_pb2 import Record

    histories, configs, exits = [], {}, []
    for path in sorted(directory.glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime):
        assert path.name == f"run-{name}.wandb"
        for record in map(Record.FromString, records(path)):
            kind = record.WhichOneof("record_type")
            if kind == "history":
                items = {"/".join(x.nested_key) or x.key: json.loads(x.value_json) for x in record.history.item}
                histories.append({name: x for name, x in items.items() if name[0] != "_"})
            elif kind == "run":
                assert record.run.project == "metarl_jax" and record.run.display_name == "run"
                configs |= {x.key: x.value_json for x in record.run.config.update}
            elif kind == "config":
                configs |= {x.key: x.value_json for x in record.config.update}
            elif kind == "exit":
                exits.append(record.exit.exit_code)
    return histories, configs, exits


def test_wandb(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    first, second = run_twice(tmp_path / "run", "wandb")
    assert first == second
    end, exits = time.monotonic() + 60.0, []
    while len(exits) < 2 and time.monotonic() < end:
        time.sleep(0.2)
        histories, configs, exits = told_to_wandb(tmp_path / "run" / "wandb", first)
    assert [(x["iteration"], x.get("loss")) for x in histories] == [
        *[(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0), (3, 6.0), (3, None), (4, 2.0)]
    ]
    assert histories[-2] == {"iteration": 3, "eval_return_after": 7.0}
    assert json.loads(configs["preset"]) == "nav-maml" and json.loads(configs["algorithm"])["inner"]["lr"] == 0.1
    assert exits == [0, 0]


def test_a_tracker_that_fails_does_not_end_a_run(tmp_path, monkeypatch, capfd):
    class Broken:
        name = "x"

        def __init__(self, *_):
            self.calls = 0

        def add(self, iteration, values):
            if iteration == 2:
                raise OSError("the network is gone.\nand more")

        def flush(self):
            pass

        def close(self, failed):
            raise AssertionError("it is told no more")

    monkeypatch.setitem(trackers.TRACKERS, "wandb", trackers.Entry(Broken, "json"))
    with RunLog.create(tmp_path / "run", CONFIG) as log:
        log.track(["wandb"], CONFIG)
        log.log(rows(1, 3))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: wandb is told no more") and line.endswith(": the network is gone")
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3


def test_options(monkeypatch, tmp_path):
    assert parse_train(["nav-maml", "--log", "wandb", "mlflow"]).log == ("wandb", "mlflow")
    assert parse_train(["nav-maml"]).log == ()
    with pytest.raises(ConfigError, match="wandb"):
        parse_train(["nav-maml", "--log", "wandbb"])
    with pytest.raises(ConfigError, match="--log"):
        read(TrainOptions, ["--log"], "metarl train", TrainOptions(CONFIG))
    monkeypatch.setitem(trackers.TRACKERS, "wandb", trackers.Entry(trackers.WandbTracker, "no_such_module"))
    with pytest.raises(ConfigError, match=r"--log wandb needs its package: pip install 'metarl-jax\[wandb\]'"):
        Job(CONFIG, tmp_path / "run", log=("wandb",))
    with pytest.raises(ConfigError, match="unknown tracker 'x'"):
        Job(CONFIG, tmp_path / "run", log=("x",))
    assert not any(tmp_path.iterdir())
