"""Evaluation while a run trains, the times that it reports, and which environments and versions go together."""

import dataclasses
import json
import math
import shutil
import time

import jax
import pytest

from metarl_jax import cli, envs, presets
from metarl_jax.algorithms import make_algorithm
from metarl_jax.config import EvaluationConfig, from_json
from metarl_jax.errors import ConfigError
from metarl_jax.experiments import parts
from metarl_jax.runs import held_out, runlog
from metarl_jax.runs.clock import FIELDS

# With schedules of one length, runs of all lengths are one program.
SMALL = [
    "--env",
    "point",
    "--horizon",
    "5",
    "--algorithm",
    "fomaml",
    "--algorithm.num-tasks",
    "2",
    "--algorithm.envs-per-task",
    "2",
]
SMALL += [
    "--policy.network.hidden",
    "4",
    "--evaluation.tasks",
    "4",
    "--evaluation.episodes",
    "2",
    "--evaluation.steps",
    "1",
]


def train(directory, *argv, schedule=6):
    argv = [*SMALL, "--schedule-iterations", schedule, *argv, "--run-dir", directory]
    assert cli.main(["train", *map(str, argv)]) == 0
    return runlog.read_metrics(directory)


def without_evaluation(rows):
    clock = {*FIELDS, "env_steps_per_second", "memory_mib", "device_memory_mib"}
    return [{k: v for k, v in row.items() if k not in clock and not k.startswith("eval_")} for row in rows]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Six iterations, evaluated after 2, 4 and 6."""
    directory = tmp_path_factory.mktemp("held_out") / "run"
    train(directory, "--iterations", 6, "--evaluation.every", 2)
    return directory


def test_evaluation_does_not_disturb_training(run, tmp_path):
    rows = runlog.read_metrics(run)
    assert [r["iteration"] for r in rows if "eval_return_after" in r] == [2, 4, 6]
    other = train(tmp_path / "run", "--iterations", 6, "--evaluation.every", 0)
    assert [r["iteration"] for r in other if "eval_return_after" in r] == [6]
    assert without_evaluation(rows) == without_evaluation(other)


def test_what_is_reported_is_what_evaluate_finds(run, tmp_path):
    """For the last state, which is judged once; and for the best one, whose row has the highest return."""
    rows = {r["iteration"]: r for r in runlog.read_metrics(run) if "eval_return_after" in r}
    last = json.loads((run / "eval" / "iteration-6.json").read_text())
    assert rows[6]["eval_return_after"] == pytest.approx(last["mean"][-1])
    assert rows[6]["eval_return_before"] == pytest.approx(last["mean"][0])
    best = max(rows, key=lambda i: rows[i]["eval_return_after"])
    copy = shutil.copytree(run, tmp_path / "copy")
    assert cli.main(["evaluate", str(copy), "--checkpoint", "best"]) == 0
    newest = max((copy / "eval").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    curve = json.loads(newest.read_text())
    assert curve["iteration"] == best
    assert curve["mean"][-1] == pytest.approx(rows[best]["eval_return_after"], rel=1e-5)


def test_seeds_together_are_each_judged(tmp_path):
    train(tmp_path / "all", "--iterations", 2, "--evaluation.every", 1, "--seeds", 0, 1)
    together = [runlog.read_metrics(tmp_path / "all" / f"seed-{seed}") for seed in (0, 1)]
    alone = train(tmp_path / "alone", "--iterations", 2, "--evaluation.every", 1, "--seed", 1)
    for row, other in zip(together[1], alone, strict=True):
        assert row["eval_return_after"] == pytest.approx(other["eval_return_after"], rel=1e-4)
    assert together[0][-1]["eval_return_after"] != together[1][-1]["eval_return_after"]


class Spec:
    """What `held_out.interval` reads of a judge, for an evaluation of so many tasks, episodes, steps and horizon."""

    def __init__(self, tasks, episodes, steps, horizon, num_tasks, envs_per_task, every=None):
        self.settings = EvaluationConfig(tasks=tasks, episodes=episodes, steps=steps, every=every)
        algorithm = dataclasses.replace(
            presets.PRESETS["nav-maml"].config.algorithm, num_tasks=num_tasks, envs_per_task=envs_per_task
        )
        self.config = dataclasses.replace(presets.PRESETS["nav-maml"].config, algorithm=algorithm)
        self.spec = dataclasses.make_dataclass("Spec", ["horizon"])(horizon)


@pytest.mark.parametrize(
    ("judge", "env_steps", "expected"),
    [
        # 40 * 10 * 2 * 100 = 80,000 steps to judge, 40,000 to train: 5 % of 40 iterations.
        (Spec(40, 10, 1, 100, 20, 10), 40_000, 40),
        # Fewer worlds, but as many steps one after the other as an iteration has: 5 % of 20 iterations.
        (Spec(4, 1, 1, 100, 20, 10), 40_000, 20),
        (Spec(40, 10, 1, 100, 20, 10, every=0), 40_000, 0),
        (Spec(40, 10, 1, 100, 20, 10, every=7), 40_000, 7),
    ],
)
def test_how_often(judge, env_steps, expected):
    assert held_out.interval(judge, dataclasses.make_dataclass("A", ["env_steps_per_iteration"])(env_steps)) == expected


def test_success_decides_before_return():
    def curve(gain, success=None):
        return {"mean": [0.0, gain]} | ({} if success is None else {"success": {"mean": [0.0, success]}})

    ordered = [curve(math.nan, 0.0), curve(9.0, 0.0), curve(1.0, 0.5), curve(2.0, 0.5), curve(-5.0, 1.0)]
    assert sorted(ordered, key=held_out.score) == ordered
    assert held_out.score(curve(3.0)) > held_out.score(curve(2.0)) > held_out.score(curve(math.nan))
    assert held_out.metrics(curve(math.nan))["eval_return_after"] is None


# Seconds.


def test_wall_seconds_are_those_of_the_command(tmp_path):
    """All of it, over a resume; compiling and training are parts of it that the loop measures itself."""
    directory, start = tmp_path / "run", time.perf_counter()
    rows = train(directory, "--iterations", 3)
    first, took = json.loads((directory / "summary.json").read_text()), time.perf_counter() - start
    assert 0.8 * took - 1.0 < first["wall_seconds"] <= took
    assert first["compile_seconds"] + first["train_seconds"] < first["wall_seconds"]
    assert first["train_seconds"] == rows[-1]["train_seconds"] < rows[-1]["wall_seconds"] < first["wall_seconds"]
    late = (rows[2]["env_steps"] - rows[0]["env_steps"]) / (rows[2]["train_seconds"] - rows[0]["train_seconds"])
    assert first["env_steps_per_second"] == pytest.approx(late)
    time.sleep(1.0)  # between two commands nothing runs
    start = time.perf_counter()
    assert cli.main(["train", "--resume", str(directory), "--iterations", "5"]) == 0
    second, again = json.loads((directory / "summary.json").read_text()), time.perf_counter() - start
    assert first["wall_seconds"] + 0.8 * again - 1.0 < second["wall_seconds"] <= first["wall_seconds"] + again
    for name in FIELDS:
        assert second[name] > first[name]


# Schedules.


def test_a_longer_run_keeps_the_end_of_its_schedules(tmp_path, capfd):
    """Said aloud; another end must be asked for."""
    moving = ["--algorithm.optimizer.lr-schedule", "linear", "--algorithm.optimizer.lr", "0.01"]
    moving += ["--algorithm.optimizer.lr-final", "0.5", "--algorithm.update.entropy-coef", "0.1"]
    kept = tmp_path / "kept"
    train(kept, "--iterations", 3, *moving, schedule=None)
    assert "schedules end" not in capfd.readouterr().err
    stretched = shutil.copytree(kept, tmp_path / "stretched")
    assert cli.main(["train", "--resume", str(kept), "--iterations", "5"]) == 0
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("schedules end at iteration 3")]
    assert len(said) == 1
    for words in ("the learning rate stays at 0.005", "the entropy bonus at 0", "--schedule-iterations 5"):
        assert words in said[0]
    config = from_json((kept / "config.json").read_text())
    assert (config.iterations, config.schedule_iterations, config.schedule_length) == (5, 3, 3)
    argv = ["--iterations", "5", "--schedule-iterations", "5"]
    assert cli.main(["train", "--resume", str(stretched), *argv]) == 0
    assert "schedules end" not in capfd.readouterr().err
    ends = [runlog.read_metrics(run)[4]["loss"] for run in (kept, stretched)]
    assert ends[0] != ends[1]


def test_schedules_hold_their_last_values():
    """Beyond their end the entropy bonus does not become a penalty, and the rate does not move."""
    config = presets.PRESETS["nav-maml"].config
    update = dataclasses.replace(config.algorithm.update, entropy_coef=0.5)
    optimizer = dataclasses.replace(config.algorithm.optimizer, lr_schedule="constant")
    small = dataclasses.replace(config.algorithm, num_tasks=2, envs_per_task=2, update=update, optimizer=optimizer)
    env = envs.make("point", horizon=4)
    algorithm = make_algorithm(small, env, config.policy, 10)
    state = algorithm.init(jax.random.key(0))
    iterate = jax.jit(algorithm.iterate)
    losses = []
    for step in (0, 10, 20):
        _, metrics = iterate(state._replace(step=state.step + step), jax.random.key(1))
        losses.append(float(metrics["loss"]))
    assert losses[0] != losses[1] == losses[2]


# What goes together.


def test_labels_of_families_that_are_not_tested():
    with pytest.raises(ConfigError, match="leave 'one-hot' out"):
        envs.make("metaworld/ML10/one-hot", physics="mujoco")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"obs_dim": 44}, "observations 49 and 44"),
        ({"action_dim": 3}, "actions 4 and 3"),
        ({"action_low": (-2.0,) * 4}, "lowest actions"),
        ({"action_high": (2.0,) * 4}, "highest actions"),
        ({"discrete": True}, "actions are discrete False and True"),
        ({"has_success": False}, "success is defined True and False"),
    ],
)
def test_specs_that_differ_are_refused(make_point, change, words):
    spec = make_point().spec._replace(obs_dim=49, action_dim=4, action_low=(-1.0,) * 4, has_success=True)
    parts.check_fits(spec, spec._replace(horizon=7, name="other"))
    with pytest.raises(ConfigError, match=words):
        parts.check_fits(spec, spec._replace(**change))


@pytest.mark.parametrize("command", ["train", "evaluate", "adapt", "video", "paths"])
def test_every_command_compares_before_the_first_step(run, tmp_path, monkeypatch, capfd, make_point, command):
    def make(name, split="train", **_):
        env = make_point()
        if split == "test":
            env.spec = env.spec._replace(obs_dim=3)
        return env

    monkeypatch.setattr(envs, "make", make)
    monkeypatch.chdir(tmp_path)
    argv = [*SMALL, "--run-dir", "new"] if command == "train" else [str(run)]
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert cli.main([command, *argv]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "observations 2 and 3" in line and not (tmp_path / "new").exists()
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.parametrize("version", [None, "0.1", "9.0"])
@pytest.mark.parametrize(
    "argv", [["train", "--resume"], ["evaluate"], ["adapt"], ["video"], ["paths"]], ids=lambda argv: argv[0]
)
def test_a_run_of_another_version_is_refused(run, tmp_path, capfd, version, argv):
    """One line that names the version and what to do; nothing is written."""
    copy = shutil.copytree(run, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    assert config.pop("version") == "0.2"
    if version is None:  # as before there were versions
        del config["schedule_iterations"], config["evaluation"]["every"]
    else:
        config["version"] = version
    (copy / "config.json").write_text(json.dumps(config))
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert cli.main([*argv, str(copy)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ") and (version or "before 0.2") in line and "train it anew" in line
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before
