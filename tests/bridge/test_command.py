"""`metarl evaluate RUN --on metaworld`: what it prints and writes, and what it answers to bad input."""

import dataclasses
import json
import sys
from pathlib import Path

import jax
import matplotlib.image
import pytest

from metarl_jax import cli, envs
from metarl_jax.algorithms import make_algorithm
from metarl_jax.benchmarks.metaworld import bridge, evaluators, host
from metarl_jax.benchmarks.metaworld.workers import WorkerError
from metarl_jax.cli.evaluate import EvaluateOptions, parse_evaluate
from metarl_jax.config import EvaluationConfig, ExperimentConfig
from metarl_jax.envs.metaworld import parse
from metarl_jax.errors import ConfigError
from metarl_jax.runs.checkpoint import Checkpoints
from metarl_jax.runs.runlog import RunLog
from metarl_jax.types import Adaptation, EnvSpec

STEP = Adaptation(1, 10)  # of gradients


@pytest.fixture(scope="module")
def config(tiny_algorithms, tiny_policy):
    return ExperimentConfig(
        "none", "metaworld/reach-v3/ml1", tiny_algorithms["maml-ppo"], iterations=1, horizon=4, policy=tiny_policy
    )


@pytest.fixture
def metarl(capfd, monkeypatch):
    """Runs a command line: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*argv):
        capfd.readouterr()
        code = cli.main([str(word) for word in argv])
        return code, *capfd.readouterr()

    return run


def save_run(directory, config):
    """A run that has been initialised and no more."""
    RunLog.create(directory, config).close()
    env = envs.make(config.env, horizon=config.horizon)
    algorithm = make_algorithm(config.algorithm, env, config.policy, config.iterations)
    checkpoints = Checkpoints(directory / "checkpoints", 1)
    checkpoints.save(jax.jit(algorithm.init)(jax.random.key(0)))
    checkpoints.close()
    return directory


@pytest.fixture(scope="module")
def saved(config, tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("saved") / "run", config)


@pytest.mark.parametrize("name", [pytest.param("maml-ppo", marks=pytest.mark.slow), "rl2"])
def test_both_evaluators(metarl, config, tiny_algorithms, policy_for, tmp_path, monkeypatch, name):
    config = dataclasses.replace(config, algorithm=tiny_algorithms[name], policy=policy_for(name))
    for name, less in (("NUM_EVALS", 1), ("META_BATCH", 4), ("MAX_ENVS", 10)):
        monkeypatch.setattr(evaluators, name, less)
    run = save_run(tmp_path / "run", config)
    argv = ["--on", "metaworld", "--evaluator", "both", "--horizon", "5", "--episodes", "1"]
    code, out, err = metarl("evaluate", run, *argv, "--adaptation-episodes", "2", "0")
    assert code == 0, err
    (path,) = (run / "eval").glob("metaworld-ML1-reach-v3-test-*.json")
    report = json.loads(path.read_text())
    assert report["per-goal"]["adaptation_episodes"] == [0, 2]
    assert len(report["per-goal"]["goal_success"]["reach-v3"][1]) == 50
    assert set(report["official"]["task_success"]) == {"reach-v3"}
    (row,) = (line for line in out.splitlines() if "reach-v3 " in line and "│" in line)
    shown = [*report["per-goal"]["mean"], report["official"]["success"]]
    cells = [cell.strip() for cell in row.split("│") if cell.strip()]
    assert [cells[1], cells[2], cells[4]] == [f"{value:.2f}" for value in shown]
    assert "biased upward" in out and "in training 4" in out and "per-goal took" in out
    assert min(report[kind]["seconds"] for kind in ("official", "per-goal")) > 0.0
    assert matplotlib.image.imread(run / "plots" / f"{path.stem}.png").std() > 0.0
    assert "-episodes-1-after-0-2-" in path.name
    assert str(path) in out


def test_a_failing_worker_is_exit_code_1(metarl, saved, monkeypatch):
    def fail(*args):
        raise WorkerError("an environment of 'reach-v3' died")

    monkeypatch.setattr(bridge, "judge", fail)
    code, out, err = metarl("evaluate", saved, "--on", "metaworld")
    assert (code, out, err) == (1, "", "error: an environment of 'reach-v3' died\n")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--suite", "ML11"], ["did you mean 'ML10'"]),
        (["--suite", "ML1-reech"], ["did you mean 'ML1-reach-v3'"]),
        (["--suite", "zzz"], ["unknown Meta-World suite", "ML10"]),
        (["--split", "tests"], ["did you mean 'test'"]),
        (["--suite", "MT10", "--split", "test"], ["split of MT10", "train"]),
        (["--evaluator", "oficial"], ["did you mean 'official'"]),
        (["--actions", "mean"], ["--actions: unknown name 'mean'"]),
        (["--horizon", "501"], ["--horizon", "500"]),
        (["--episodes", "0"], ["--episodes"]),
        (["--adaptation-episodes", "-1"], ["--adaptation-episodes"]),
        (["--seed", "-1"], ["--seed"]),
        (["--tasks", "3"], ["--tasks goes with --on native"]),
        (["--steps", "0"], ["--steps goes with --on native"]),
        (["--physics", "mjx"], ["--physics goes with --on native"]),
        (["--evaluator", "official", "--episodes", "3"], ["--episodes goes with --evaluator per-goal"]),
        (["--suite", "MT1-reach"], ["MT1-reach-v3 has the goal in the observation, the run has not"]),
    ],
)
def test_bad_options(metarl, saved, argv, words):
    before = set(saved.rglob("*"))
    code, out, err = metarl("evaluate", saved, "--on", "metaworld", *argv)
    assert (code, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1
    assert all(word in err for word in words), err
    assert set(saved.rglob("*")) == before


def test_options_of_the_package_without_it(metarl, tmp_path):
    for argv in (["--suite", "ML10"], ["--adaptation-episodes", "1"]):
        code, _, err = metarl("evaluate", tmp_path, *argv)
        assert code == 2 and f"{argv[0]} goes with --on metaworld only" in err
    code, _, err = metarl("evaluate", tmp_path, "--on", "metaword")
    assert code == 2 and "did you mean 'metaworld'" in err


def test_package_is_missing(metarl, config, tmp_path, monkeypatch):
    RunLog.create(tmp_path / "run", config).close()
    monkeypatch.setitem(sys.modules, "metaworld", None)
    code, _, err = metarl("evaluate", tmp_path / "run", "--on", "metaworld")
    assert code == 2 and "pip install 'metaworld" in err


@pytest.mark.parametrize(
    ("env", "suite", "words"),
    [
        ("metaworld/MT10/one-hot", "ML10", "the run has the goal in the observation, ML10 has not"),
        ("metaworld/MT10/one-hot", "MT50", "no label for assembly-v3"),
        ("metaworld/ML10/one-hot", "ML10", "no label for drawer-open-v3"),
        ("metaworld/MT10", "MT10", "the run has 49 observations and 4 actions, MT10 39 and 4"),
    ],
)
def test_runs_that_do_not_fit(config, env, suite, words):
    config = dataclasses.replace(config, env=env)
    wanted = bridge.request(config, STEP, EvaluateOptions(Path("run"), suite=suite))
    with pytest.raises(ConfigError, match=words):
        bridge.label_names(parse(env), _spec(49), wanted)


def _spec(obs_dim):
    return EnvSpec("x", obs_dim, 4, 5, (-1.0,) * 4, (1.0,) * 4)


def test_labels_are_those_of_training(config):
    env = "metaworld/MT10/one-hot"
    wanted = bridge.request(dataclasses.replace(config, env=env), STEP, EvaluateOptions(Path("run"), suite="MT1-push"))
    assert bridge.label_names(parse(env), _spec(49), wanted)[:2] == ("reach-v3", "push-v3")


def test_a_belief_that_reads_what_is_not_told(config, tiny_algorithms):
    pearl = dataclasses.replace(config, algorithm=dataclasses.replace(tiny_algorithms["pearl"], next_obs=True))
    with pytest.raises(ConfigError, match=r"algorithm\.next_obs"):
        bridge.request(pearl, STEP, EvaluateOptions(Path("run")))


def test_runs_without_a_suite_of_the_package(config):
    for env, words in (("cheetah-dir", "cheetah-dir"), ("metaworld/reach-v3+push-v3", "--suite")):
        with pytest.raises(ConfigError, match=words):
            bridge.request(dataclasses.replace(config, env=env), STEP, EvaluateOptions(Path("run")))


@pytest.mark.parametrize(
    ("env", "suite", "split", "points", "seed"),
    [
        ("metaworld/ML10/seed=3", "ML10", "test", (0, 1, 2, 5, 10), 3),
        ("metaworld/MT10/one-hot", "MT10", "train", (0,), 0),
        ("metaworld/reach-v3/ml1/fresh", "ML1-reach-v3", "test", (0, 1, 2, 5, 10), 0),
        ("metaworld/reach-v3", "ML1-reach-v3", "test", (0, 1, 2, 5, 10), 0),
        ("metaworld/reach-v3/mt1", "MT1-reach-v3", "train", (0,), 0),
    ],
)
def test_defaults_follow_from_the_run(config, env, suite, split, points, seed):
    wanted = bridge.request(dataclasses.replace(config, env=env), STEP, EvaluateOptions(Path("run")))
    assert wanted == bridge.Request(suite, split, ("per-goal",), 10, points, 500, seed, False)


@pytest.mark.parametrize(
    ("adaptation", "points", "steps"),
    [
        (Adaptation(3, 20), (0, 1, 2, 5, 10, 20), 3),
        (Adaptation(1, 10), (0, 1, 2, 5, 10), 1),
        (Adaptation(4, None), (0, 1, 2, 4, 5, 10), 1),
        (Adaptation(0, None), (0,), 1),
    ],
)
def test_adaptation_is_that_of_training(config, adaptation, points, steps):
    wanted = bridge.request(dataclasses.replace(config, env="metaworld/ML10"), adaptation, EvaluateOptions(Path("run")))
    assert (wanted.points, wanted.steps) == (points, steps)


def test_notes_say_what_figures_mean(config):
    def notes(env, horizon=None, adaptation=STEP, **asked):
        run = dataclasses.replace(config, env=env, horizon=horizon)
        wanted = bridge.request(run, adaptation, EvaluateOptions(Path("run"), **asked))
        names = host.task_names(wanted.suite, wanted.split)
        overlap = ("basketball-v3",) if (wanted.suite, wanted.split) == ("ML25", "test") else ()
        suite = host.HostSuite(wanted.suite, wanted.split, dict.fromkeys(names), {}, overlap)
        return " / ".join(bridge.notes(run, parse(env), suite, wanted, adaptation))

    assert "basketball-v3 is in both splits of ML25" in notes("metaworld/ML25")
    assert "basketball" not in notes("metaworld/ML25", split="train")
    assert "trained on metaworld/ML25, judged on another suite" in notes("metaworld/ML25", suite="ML10")
    assert "another suite" not in notes("metaworld/reach-v3/ml1/fresh", suite="ML1-reach")
    assert "500 steps, in training 150" in notes("metaworld/ML10", horizon=150)
    assert "in training" not in notes("metaworld/ML10", horizon=500, actions="mode")
    assert "biased upward" in notes("metaworld/ML10", evaluator="official")
    assert "biased" not in notes("metaworld/MT10", evaluator="official")  # one environment of each name
    assert "goals of training" in notes("metaworld/MT10")
    assert "one adaptation step" in notes("metaworld/ML10")
    assert "what the memory holds" in notes("metaworld/ML10", adaptation=Adaptation(1, None))
    assert "2 further adaptation steps" in notes("metaworld/ML10", adaptation=Adaptation(3, 10))
    assert "official adapts" not in notes("metaworld/ML10", evaluator="official")
    assert "training adapts in 3 steps on 20 episodes" in notes(
        "metaworld/ML10", adaptation=Adaptation(3, 20), evaluator="official"
    )
    assert "v1" in notes("metaworld/ML10/v1")


def test_options_change_the_request(config):
    argv = ["--suite", "ML10", "--split", "train", "--evaluator", "both", "--episodes", "3", "--horizon", "7"]
    argv += ["--adaptation-episodes", "4", "0", "--seed", "5", "--actions", "mode"]
    wanted = bridge.request(config, STEP, parse_evaluate(["run", "--on", "metaworld", *argv]))
    assert wanted == bridge.Request("ML10", "train", ("official", "per-goal"), 3, (0, 4), 7, 5, True)
    config = dataclasses.replace(config, evaluation=EvaluationConfig(episodes=2, steps=0))
    wanted = bridge.request(config, STEP, parse_evaluate(["run", "--on", "metaworld"]))
    assert (wanted.episodes, wanted.points) == (2, (0,))  # a run that is judged without adaptation
