"""The `metarl` command: what it prints, and what it answers to bad input."""

import ast
import contextlib
import dataclasses
import errno
import importlib.metadata
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from metarl_jax import cli, envs, presets
from metarl_jax.algorithms import ALGORITHMS
from metarl_jax.algorithms.reptile import ReptileConfig
from metarl_jax.cli.train import parse_train
from metarl_jax.config import ExperimentConfig, from_json
from metarl_jax.learning.distributions import DISTRIBUTIONS
from metarl_jax.networks import MEMORIES, NETWORKS
from metarl_jax.policies import ACTIONS
from metarl_jax.runs import runlog, training
from metarl_jax.show import console

TINY = ["--iterations", "2", "--horizon", "5", "--algorithm.num-tasks", "2", "--algorithm.envs-per-task", "2"]
TINY += ["--evaluation.tasks", "4", "--evaluation.episodes", "2", "--evaluation.steps", "1"]
POINT = [*TINY, "--env", "point"]  # needs no simulator


@pytest.fixture
def metarl(capfd, tmp_path, monkeypatch):
    """Runs a command line in an empty directory: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*argv):
        capfd.readouterr()
        try:
            code = cli.main([str(word) for word in argv])
        except SystemExit as stop:
            code = stop.code
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run on the point, made by the command."""
    directory = tmp_path_factory.mktemp("cli") / "run"
    assert cli.main(["train", *POINT, "--run-dir", str(directory)]) == 0
    return directory


@pytest.fixture
def copy_of(trained, tmp_path):
    """A copy of the finished run that a test may spoil."""
    return shutil.copytree(trained, tmp_path / "copy")


def files(directory):
    return {p.relative_to(directory): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def assert_one_error(result, *words):
    """Exit code 2 and one line that says why; before it at most lines of progress."""
    code, _, err = result
    assert code == 2, err
    *progress, last = err.strip().splitlines()
    assert last.startswith("error: ") and all(re.match(r"[\w-]+: \d+/\d+ ", line) for line in progress), err
    for word in words:
        assert word in last, err


# Good input.


def test_train_on_mujoco(metarl, tmp_path):
    """The main job, tiny: HalfCheetah-direction from the default preset to the summary table."""
    code, out, err = metarl("train", *TINY, "--run-dir", "run", "--seed", "3")
    assert code == 0, err
    assert "2/2" in err and "steps/s" in err
    for word in ("before adaptation", "after adaptation", "cheetah-dir-maml", "seed 3", "run"):
        assert word in out
    config = from_json((tmp_path / "run" / "config.json").read_text())
    assert (config.preset, config.env, config.seed, config.iterations) == (presets.DEFAULT, "cheetah-dir", 3, 2)
    assert config.algorithm.num_tasks == 2 and config.evaluation.episodes == 2
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["env_steps"] == 2 * 2 * 2 * 5 * 2
    assert set(summary["return_after"]) == {"mean", "iqm", "interval", "mean_interval"}


def test_default_run_directories_differ(metarl, tmp_path):
    code, _, err = metarl("train", *POINT)
    assert code == 0, err
    (directory,) = (tmp_path / "runs").iterdir()
    config = from_json((directory / "config.json").read_text())
    names = {console.default_run_dir(config).name for _ in range(2)} | {directory.name}
    assert len(names) == 3 and all(name.startswith(directory.name[:-23]) for name in names)  # but for the time


def test_fields_from_the_command_line():
    """Every kind of value, nested fields, and an algorithm with its own defaults."""
    argv = [
        "cheetah-dir-maml",
        "--algorithm",
        "reptile",
        "--algorithm.inner.steps=2",
        "--policy.network.hidden",
        "8",
        "9",
    ]
    config = parse_train([*argv, "--policy.normalize-obs", "--algorithm.optimizer.lr-schedule", "cosine"]).config
    assert (config.preset, config.env) == ("cheetah-dir-maml", "cheetah-dir")
    inner = dataclasses.replace(ReptileConfig().inner, steps=2)
    optimizer = dataclasses.replace(ReptileConfig().optimizer, lr_schedule="cosine")
    assert config.algorithm == ReptileConfig(inner=inner, optimizer=optimizer)
    assert config.policy.network.hidden == (8, 9) and config.policy.normalize_obs
    assert parse_train([]).config == presets.PRESETS[presets.DEFAULT].config


def test_evaluate(metarl, copy_of):
    code, out, err = metarl("evaluate", copy_of, "--tasks", "6", "--episodes", "1", "--steps", "0", "2")
    assert code == 0, err
    (path,) = (copy_of / "eval").glob("*tasks-6*.json")
    curve = json.loads(path.read_text())
    assert curve["steps"] == [0, 1, 2] and len(curve["returns"]) == 3 and len(curve["returns"][0]) == 6
    rows = [line.split() for line in out.splitlines() if "to" in line and "|" not in line]
    shown = [word for row in rows for word in row if word in ("0", "1", "2")]
    assert shown == ["0", "2"]
    for point in (0, 2):
        value = curve["iqm"][point]
        assert f"{value:.{2 if abs(value) < 10 else 1}f}" in out
    (plot,) = (copy_of / "plots").glob("adaptation-*tasks-6*.png")
    assert matplotlib.image.imread(plot).std() > 0.0
    assert "4 held-out tasks" not in out and "6 held-out tasks" in out
    for note in ("adaptation steps: 2, in training 1", "episodes of each step: 1, in training 2"):
        assert note in out and note in curve["notes"]


def test_evaluations_do_not_overwrite_each_other(metarl, copy_of):
    """Whatever decides their outcome is in their names, and the run's own stays as it is."""
    before = files(copy_of)
    one, two = ("--episodes", 1), ("--episodes", 3)
    asked = [one, two, ("--steps", 3), ("--tasks", 2), ("--horizon", 3), ("--seed", 1), (*one, "--seed", 1)]
    asked += [("--actions", "mode")]
    for count, argv in enumerate(asked, start=1):
        assert metarl("evaluate", copy_of, *argv)[0] == 0
        new = files(copy_of)
        assert len(new) == len(before) + 2 * count and all(new[name] == content for name, content in before.items())
    drawn, likely = (json.loads(new[Path("eval", f"iteration-2{end}.json")]) for end in ("", "-actions-mode"))
    assert (drawn["actions"], likely["actions"]) == ("sample", "mode") and drawn["returns"] != likely["returns"]
    figure = copy_of / "plots" / "adaptation-iteration-2.png"
    figure.unlink()
    assert metarl("evaluate", copy_of)[0] == 0  # as the run was judged at its end
    new = files(copy_of)
    assert len(new) == len(before) + 2 * len(asked) and all(new[name] == before[name] for name in before)


def test_a_run_is_judged_as_it_was_trained(metarl, tmp_path):
    """Three steps of four episodes; the same in every command that adapts it."""
    argv = ["--iterations", 1, "--env", "point", "--horizon", 5, "--algorithm.num-tasks", 2, "--evaluation.tasks", 2]
    argv += ["--algorithm.envs-per-task", 4, "--algorithm.inner.steps", 3]
    assert metarl("train", *argv, "--run-dir", "run")[0] == 0
    (path,) = (tmp_path / "run" / "eval").iterdir()
    curve = json.loads(path.read_text())
    assert (curve["steps"], curve["episodes"], curve["notes"]) == ([0, 1, 2, 3], 4, [])
    assert metarl("adapt", "run", "--tasks", 2, "--online.episodes", 2, "--online.replay", 2)[0] == 0
    (path,) = (tmp_path / "run" / "eval").glob("online-*.json")
    report = json.loads(path.read_text())
    assert (report["steps"], report["episodes"]) == (3, 4)


def test_evaluate_is_repeatable_and_seeds_differ(metarl, copy_of):
    curves = []
    for seed in ("5", "5", "6"):
        assert metarl("evaluate", copy_of, "--seed", seed, "--checkpoint", "best")[0] == 0
        curves.append(json.loads(max((copy_of / "eval").iterdir(), key=os.path.getmtime).read_text())["returns"])
    assert curves[0] == curves[1] != curves[2]


def test_adapt(metarl, copy_of):
    """The table says what the file says; another family with the same sizes will do."""
    argv = ["--tasks", 3, "--episodes", 2, "--online.episodes", 4, "--online.replay", 2, "--actions", "mode"]
    code, out, err = metarl("adapt", copy_of, "--env", "point-sparse", *argv)
    assert code == 0, err
    (path,) = (copy_of / "eval").glob("online-point-sparse-*.json")
    report = json.loads(path.read_text())
    assert len(report["curve"]["mean"]) == len(report["trust"]) == 4
    assert len(report["gains"]) == len(report["restored"]) == 3
    assert report["gain"]["mean"] == pytest.approx(report["learned"]["mean"] - report["frozen"]["mean"])
    assert f"{report['gain']['mean']:.2f}" in out and str(path) in out
    assert report["online"]["replay"] == 2 and report["env"] == "point-sparse"
    assert report["actions"] == "mode" and "-actions-mode-" in path.stem
    assert metarl("adapt", copy_of, *argv, "--physics", "auto")[0] == 0  # which is the run's own
    (path_of_own,) = (copy_of / "eval").glob("online-point-iteration-*.json")
    assert path_of_own.name == path.name.replace("point-sparse", "point")
    assert matplotlib.image.imread(copy_of / "plots" / f"{path.stem}.png").std() > 0.0


def test_paths(metarl, copy_of, tmp_path):
    code, out, err = metarl("paths", copy_of, "--tasks", 2, "--steps", 2, "--out", "paths.png")
    assert code == 0, err
    assert "paths.png" in out and matplotlib.image.imread(tmp_path / "paths.png").std() > 0.0
    for argv in ((), ("--seed", 1), ("--tasks", 3)):
        assert metarl("paths", copy_of, *argv)[0] == 0
    assert len(list((copy_of / "plots").glob("paths-iteration-2*.png"))) == 3


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("adapt", "--env", "cheetah-vel"), ("observations 2 and 17", "actions 2 and 6")),
        (("adapt", "--tasks", "0"), ("--tasks", "[1,")),
        (("adapt", "--checkpoint", "first"), ("latest",)),
        (("adapt", "--actions", "mod"), ("--actions", "did you mean 'mode'")),
        (("evaluate", "--actions", "mean"), ("--actions", "mode, sample")),
        (("paths", "--tasks", "100"), ("--tasks", "20")),
        (("paths", "--seed", "-1"), ("--seed",)),
    ],
)
def test_adapt_and_paths_with_bad_values(metarl, trained, argv, words):
    before = files(trained)
    assert_one_error(metarl(argv[0], trained, *argv[1:]), *words)
    assert files(trained) == before


def test_adapt_with_an_impossible_setting(metarl, trained):
    code, _, err = metarl("adapt", trained, "--online.replay", "1")
    assert code == 2 and "replay and ensemble at least 2" in err


def test_paths_of_what_is_not_on_the_plane(metarl, copy_of):
    config = json.loads((copy_of / "config.json").read_text())
    (copy_of / "config.json").write_text(json.dumps(config | {"env": "cheetah-vel"}))
    assert_one_error(metarl("paths", copy_of), "cheetah-vel", "plane")


def test_plot(metarl, trained, copy_of, tmp_path):
    code, out, err = metarl("plot", trained, copy_of, "--out", "figures/both.png")
    assert code == 0, err
    assert "figures/both.png" in out
    assert matplotlib.image.imread(tmp_path / "figures" / "both.png").std() > 0.0


def test_list(metarl):
    code, out, _ = metarl("list")
    assert code == 0
    for table in (
        presets.PRESETS,
        envs.ENVIRONMENTS,
        ALGORITHMS,
        NETWORKS,
        MEMORIES,
        ("auto", "mujoco", "mjx", "warp"),
    ):
        for name in table:
            (line,) = {line for line in out.splitlines() if line.split() and line.split()[0] == name}
            assert len(line.split()) > 2


def test_doctor(metarl):
    code, out, _ = metarl("doctor")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    for package in ("jax", "mujoco", "metaworld"):
        assert [package, importlib.metadata.version(package)] in lines
    assert ["mujoco", "works,", "chosen", "by", "auto"] in lines and ["mjx", "works"] in lines
    assert ["metaworld", "found"] in lines
    assert any(line[:2] == ["warp", "works"] or line[:4] == ["warp", "does", "not", "work:"] for line in lines)
    assert any(line[:1] == ["cpu:0"] for line in lines)


def test_help(metarl):
    code, out, _ = metarl("--help")
    assert code == 0
    assert all(command in out for command in ("train", "evaluate", "plot", "list", "doctor", "bench"))
    assert metarl()[0] == 2
    for command in ("train", "evaluate", "plot", "list", "doctor", "bench"):
        code, out, err = metarl(command, "--help")
        assert code == 0 and "--help" in out + err


def option_names(config, prefix=""):
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from option_names(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name.replace("_", "-")


@pytest.mark.parametrize("command", [*cli.COMMANDS])
def test_help_lists_names(metarl, monkeypatch, command):
    """No option is mere text, none tells what Python calls it, and what has a name is listed."""
    monkeypatch.setenv("COLUMNS", "1000")
    code, out, _ = metarl(command, "--help")
    assert code == 0 and not re.search(r"\bSTR\b|\{None\}", out)
    listed = {"--env": envs.ENVIRONMENTS, "--physics": envs.BACKENDS, "--preset": presets.PRESETS}
    listed |= {
        "--algorithm": ALGORITHMS,
        "--policy.memory.name": ["none", *MEMORIES],
        "--policy.network.name": NETWORKS,
    }
    listed |= {"--policy.distribution": DISTRIBUTIONS, "--actions": ACTIONS, "--checkpoint": ["latest", "best"]}
    found = dict(re.findall(r"(--[\w.-]+) \{([^│]*?)\}", out))  # but for those that are longer than a line
    for option in found.keys() & listed.keys():
        assert [name for name in found[option].split(",") if "NAME" not in name] == list(listed[option])
    if command == "train":
        assert out.startswith("usage: metarl train [PRESET] [--algorithm NAME]")
        assert found.keys() & listed.keys() == listed.keys() - {"--env", "--preset", "--actions", "--checkpoint"}
        assert "--preset {cheetah-dir-maml,cheetah-dir-promp" in out
        assert "--env {cheetah-dir,cheetah-dir/pearl" in out


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["tr"], "train"),
        (["train", "nav-m"], "nav-maml nav-maml-trpo"),
        (["train", "nav-maml", "--algorithm.inner.s"], "--algorithm.inner.steps --algorithm.inner.surrogate"),
        (["train", "nav-maml", "--algorithm.inner.surrogate", ""], "ratio log_prob"),
        (["train", "--policy.memory.name", "l"], "lru lstm"),
        (["train", "--algorithm.optimizer.lr-schedule", "=", "co"], "constant cosine"),
        (["train", "--env", "metaworld/reach-w"], "metaworld/reach-wall-v3"),
        (["train", "--run-dir", "r"], ""),
        (["sweep", "halfc"], "halfcheetah-ppo halfcheetah-sac"),
        (["evaluate", "run", "--checkpoint", ""], "latest best"),
        (["bench", "thr"], "throughput"),
    ],
)
def test_completion(scripts, words, completed):
    ask = 'COMP_WORDS=(metarl "${@:2}"); COMP_CWORD=$(($# - 1)); source "$1"; _metarl; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", ask, "bash", scripts / "bash", *words], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (completed, "")


@pytest.mark.parametrize("command", ["train", "sweep", "adapt", "evaluate"])
def test_completion_knows_the_options_of_the_help(metarl, scripts, command):
    (words,) = re.findall(rf'"{command} "\*\) words="(.*?)"', (scripts / "bash").read_text())
    out = metarl(command, "--help")[1]
    assert set(words.split()) == set(re.findall(r"(?<=[│,] )--[\w.-]+", out)) - {"--help"}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """A folder with the script for each shell."""
    directory = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh"):
        with open(directory / shell, "w") as file, contextlib.redirect_stdout(file):
            assert cli.main(["--completion", shell]) == 0
    assert "bashcompinit" in (directory / "zsh").read_text()
    assert (directory / "zsh").read_text().endswith((directory / "bash").read_text())
    return directory


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_help_names_every_field(metarl, preset):
    out = metarl("train", preset, "--help")[1]
    missing = [n for n in option_names(presets.PRESETS[preset].config) if f"--{n.replace('_', '-')}" not in out]
    assert missing == []


def test_every_field_has_its_documentation():
    """The string below a field is what `--help` shows."""
    configs = [ExperimentConfig, *(type(entry.config) for entry in ALGORITHMS.values())]
    seen = set()
    while configs:
        cls = configs.pop()
        if cls in seen:
            continue
        seen.add(cls)
        (body,) = (node.body for node in ast.parse(inspect.getsource(cls)).body)
        fields = {f.name: f for f in dataclasses.fields(cls)}
        for node, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and node.target.id in fields:
                assert isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant), (cls, node.target.id)
        configs += [type(f.default) for f in fields.values() if dataclasses.is_dataclass(f.default)]
    assert len(seen) >= 8


# Resuming.


def test_resume_with_more_iterations(metarl, copy_of):
    code, _, err = metarl("train", "--resume", copy_of, "--iterations", "3")
    assert code == 0, err
    assert [row["iteration"] for row in runlog.read_metrics(copy_of)] == [1, 2, 3]
    assert json.loads((copy_of / "summary.json").read_text())["iterations"] == 3
    names = {path.name for path in (copy_of / "plots").glob("adaptation*")}
    assert names == {f"adaptation-iteration-{i}.png" for i in (2, 3)}  # that of the first evaluation stays


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--seed", "1"], ["seed", "only iterations"]),
        (["--algorithm.inner.lr", "0.5"], ["algorithm.inner.lr"]),
        (["--algorithm", "ppo"], ["algorithm"]),
        (["--run-dir", "other"], ["run_dir"]),
        (["--iterations", "1"], ["2 iterations", "--iterations 1"]),
    ],
)
def test_resume_with_another_configuration(metarl, copy_of, argv, words):
    before = files(copy_of)
    assert_one_error(metarl("train", "--resume", copy_of, *argv), *words)
    after = files(copy_of)
    assert {n: c for n, c in after.items() if n in before and n.name != "run.lock"} == {
        n: c for n, c in before.items() if n.name != "run.lock"
    }


def test_resume_of_nothing(metarl, tmp_path, trained):
    assert_one_error(metarl("train", "--resume", "nowhere"), "nowhere")
    (tmp_path / "empty").mkdir()
    assert_one_error(metarl("train", "--resume", "empty"), "empty")
    (tmp_path / "bare").mkdir()
    for name in ("config.json", "metrics.jsonl"):
        (tmp_path / "bare" / name).write_text((trained / name).read_text())
    assert_one_error(metarl("train", "--resume", "bare"), "no checkpoint")
    assert_one_error(metarl("train", "point-maml", "--resume", trained), "preset")
    assert_one_error(metarl("train", "--resume"), "--resume needs a value")


@pytest.mark.parametrize("text", ["", "{}", '{"algorithm": {"name": "maml-ppo"}}', "\udcff"])
def test_resume_of_a_spoiled_configuration(metarl, copy_of, text):
    (copy_of / "checkpoints" / "config.json").unlink()
    (copy_of / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert_one_error(metarl("train", "--resume", copy_of))


def test_resume_with_an_edited_network(metarl, copy_of, monkeypatch):
    """The configuration is another than the checkpoint's, which is said before minutes go into compiling."""
    data = json.loads((copy_of / "config.json").read_text())
    data["policy"]["network"]["hidden"] = [7]
    (copy_of / "config.json").write_text(json.dumps(data))
    assert_one_error(metarl("train", "--resume", copy_of), "differ in policy.network.hidden")
    (copy_of / "checkpoints" / "config.json").write_text(json.dumps(data))
    before = files(copy_of / "checkpoints")
    monkeypatch.setattr(training, "begin", lambda *_: pytest.fail("compiled first"))
    assert_one_error(metarl("train", "--resume", copy_of, "--iterations", "3"), "does not fit")
    assert_one_error(metarl("evaluate", copy_of), "does not fit")
    assert files(copy_of / "checkpoints") == before


# Bad input: one error line, exit code 2, nothing left behind.


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["trane"], ["command", "did you mean 'train'"]),
        (["--completion", "bahs"], ["shell", "did you mean 'bash'"]),
        (["--completion"], ["shell", "choose from bash, zsh"]),
        (["train", "cheetah-dir-mam"], ["preset", "did you mean 'cheetah-dir-maml'"]),
        (["train", "--env", "cheeta-dir"], ["environment", "did you mean 'cheetah-dir'"]),
        (["train", "--algorithm", "maml-pp"], ["algorithm", "did you mean 'maml-ppo'"]),
        (["train", "--algorithm", "zzzzz"], ["algorithm", "promp", "reptile"]),
        (["train", "--physics", "mujocco"], ["did you mean 'mujoco'"]),
        (["train", "--env", "point", "--physics", "mujoco"], ["physics"]),
        (["train", "--policy.distribution", "tanh-gausian"], ["did you mean 'tanh-gaussian'"]),
        (["train", "--policy.network.name", "mlpp"], ["did you mean 'mlp'"]),
        (["train", "--horizon", "0"], ["horizon"]),
        (["train", "--env", "point", "--horizon", "-3"], ["horizon"]),
        (["bench", "fysics", "--out", "tables"], ["did you mean 'physics'"]),
        (["evaluate", "nowhere"], ["nowhere"]),
        (["plot", "nowhere"], ["nowhere"]),
    ],
)
def test_unknown_names(metarl, tmp_path, argv, words):
    if argv[0] == "train":
        argv = [*argv, "--run-dir", "run"]
    assert_one_error(metarl(*argv), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["train", ""], ["nothing stands after train"]),
        (["train", "--run-dir", ""], ["nothing stands after --run-dir"]),
        (["train", "--run-dir="], ["nothing stands after --run-dir"]),
        (["train", "--resume", ""], ["--resume"]),
        (["evaluate", ""], ["evaluate"]),
        (["plot", "a", ""], ["after a"]),
        (["train", "--seeds"], ["--seeds needs at least one"]),
        (["train", "--seeds", "--run-dir", "run"], ["--seeds needs at least one"]),
        (["train", "--seeds", "0", "1", "--seed", "5"], ["leave --seed out"]),
        (["train", "--seeds=0..1", "--seed=5"], ["leave --seed out"]),
        (["train", "--seeds", "0..9999", "--run-dir", "run"], ["10000 runs", "10256 open files", "allows 4096"]),
        (["train", "--seeds", "0..2", "--run-dir", "."], ["seed-1 exists and is not empty"]),
    ],
)
def test_nothing_is_made_before_all_is_checked(metarl, tmp_path, monkeypatch, argv, words):
    monkeypatch.setattr(runlog.resource, "getrlimit", lambda _: (1024, 4096))
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1" / "thesis.tex").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    assert_one_error(metarl(*argv), *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_holds_one_file_open(tmp_path):
    """Of many seeds in one program each has its lock, and what it writes is opened as needed."""
    before = len(os.listdir("/proc/self/fd"))
    with contextlib.ExitStack() as stack:
        for seed in range(20):
            log = stack.enter_context(runlog.RunLog.create(tmp_path / f"{seed}", presets.PRESETS["nav-maml"].config))
            log.log([{"iteration": 1, "loss": 0.5}])
        assert len(os.listdir("/proc/self/fd")) == before + 20


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["--iterations", "0"], "iterations"),
        (["--iterations", "many"], "iterations"),
        (["--seed", "-1"], "seed"),
        (["--algorithm.num-tasks", "0"], "num"),
        (["--algorithm.num-tasks", "7", "--algorithm.update.minibatches", "2"], "minibatches can be"),
        (["--algorithm.update.minibatches", "50"], "minibatches can be"),
        (["--algorithm.optimizer.lr", "-1"], "lr"),
        (["--algorithm.optimizer.lr", "nan"], "lr"),
        (["--algorithm.optimizer.lr", "inf"], "lr"),
        (["--algorithm.inner.lr", "-0.1"], "lr"),
        (["--algorithm.inner.lr", "nan"], "lr"),
        (["--policy.network.hidden", "0"], "hidden"),
        (["--policy.max-log-std", "-9"], "log"),
        (["--evaluation.tasks", "0"], "tasks"),
        (["--no-such-option", "1"], "no-such-option"),
        (["--policy.network.activation", "sine"], "sine"),
    ],
)
def test_impossible_values(metarl, tmp_path, argv, word):
    """Where the parser finds the mistake it says so in a box of its own; in any case without a traceback."""
    code, out, err = metarl("train", *argv, "--run-dir", "run")
    assert code == 2
    assert word in out + err and "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "argv",
    [
        ["evaluate"],
        ["bench"],
        ["plot"],
        ["list", "presets"],
    ],
)
def test_missing_or_superfluous_arguments(metarl, argv):
    code, out, err = metarl(*argv)
    assert code == 2 and "Traceback" not in out + err


def test_tanh_policy_where_the_actions_have_no_bounds(metarl, monkeypatch, tmp_path, make_point):
    env = make_point()
    env.spec = env.spec._replace(action_low=(-float("inf"),) * 2, action_high=(float("inf"),) * 2)
    monkeypatch.setattr(envs, "make", lambda *args, **kwargs: env)
    result = metarl("train", *POINT, "--policy.distribution", "tanh-gaussian", "--run-dir", "run")
    assert_one_error(result, "set policy.distribution to 'gaussian'")
    assert not (tmp_path / "run").exists()


def test_a_used_run_directory(metarl, copy_of):
    before = files(copy_of)
    assert_one_error(metarl("train", *POINT, "--run-dir", copy_of), "not empty", "--resume")
    assert files(copy_of) == before


def test_a_run_directory_below_a_file(metarl, tmp_path):
    (tmp_path / "file").write_text("x")
    for path in ("file", "file/run"):
        assert_one_error(metarl("train", *POINT, "--run-dir", path), "file")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_run_directory(metarl, tmp_path):
    (tmp_path / "fixed").mkdir(mode=0o500)
    assert_one_error(metarl("train", *POINT, "--run-dir", "fixed/run"), "Permission denied")


@pytest.mark.parametrize(
    "what", ["config.json", "metrics", *(pytest.param(x, marks=pytest.mark.slow) for x in ("eval", "summary.json"))]
)
def test_full_disk(metarl, tmp_path, monkeypatch, what):
    """Wherever it fills up: one readable error, and what was written stays."""
    whole = runlog.write_atomically

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if what == "metrics":
        monkeypatch.setattr(runlog.RunLog, "log", full)
    else:
        refuse = lambda path, text: full() if what in str(path) else whole(path, text)  # noqa: E731
        monkeypatch.setattr(runlog, "write_atomically", refuse)
        monkeypatch.setattr("metarl_jax.runs.judging.write_atomically", refuse)
    assert_one_error(metarl("train", *POINT, "--run-dir", "run"), "No space left on device")
    monkeypatch.undo()
    if what in ("eval", "summary.json"):
        monkeypatch.chdir(tmp_path)
        code, _, err = metarl("train", "--resume", "run")
        assert code == 0, err
        assert json.loads((tmp_path / "run" / "summary.json").read_text())["iterations"] == 2


def test_checkpoints_that_cannot_be_written(tmp_path):
    """The system refuses files beyond 5 kB, as a full disk would: the first checkpoint does not fit."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))\n"
        "from metarl_jax import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", *POINT, "--run-dir", "run"],
        **{"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120},
    )
    assert done.returncode == 2, done.stderr  # orbax's threads may print what they saw, before and after
    assert done.stderr.count("error: cannot write the run directory run: ") == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--checkpoint", "bset"], ["checkpoint", "did you mean 'best'"]),
        (["--steps", "-1"], ["steps"]),
        (["--tasks", "0"], ["tasks"]),
        (["--physics", "warpp"], ["warp"]),
        (["--seed", "-4"], ["seed"]),
    ],
)
def test_evaluate_with_bad_values(metarl, copy_of, argv, words):
    before = files(copy_of)
    code, out, err = metarl("evaluate", copy_of, *argv)
    assert code == 2 and "Traceback" not in out + err
    assert any(word in out + err for word in words)
    assert files(copy_of) == before


def test_training_error_is_exit_code_1(metarl, monkeypatch, make_point, tmp_path):
    """Rewards that are never finite: three roll-backs, then the error; the first checkpoint is what remains."""

    class Broken(make_point):
        def step(self, state, action, task):
            state, timestep = super().step(state, action, task)
            return state, timestep._replace(reward=timestep.reward * float("nan"))

    monkeypatch.setattr(envs, "make", lambda *args, **kwargs: Broken())
    code, _, err = metarl("train", *POINT, "--run-dir", "run")
    assert code == 1
    assert err.count("back to checkpoint 0") == 3
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [err.strip().splitlines()[-1]]
    assert "Traceback" not in err
    assert runlog.read_metrics(tmp_path / "run") == [] and (tmp_path / "run" / "checkpoints" / "latest" / "0").is_dir()


def test_module_runs_as_a_script(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "metarl_jax.cli", "nonsense"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: unknown command 'nonsense'")


@pytest.mark.slow
def test_bench_prints_one_json_object():
    """Nothing else on stdout, whatever the backends have to say."""
    words = ["-m", "metarl_jax.cli", "bench", "physics", "--json"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert (
        set(result) == {"machine", "command", "commit", "rows"} and result["command"] == "metarl bench physics --json"
    )
    names = [row["backend"] for row in result["rows"]]
    assert names[:3] == ["bare mujoco.rollout", "mujoco", "mjx"] and "warp" in names
    assert all(row["env_steps_per_second"] > 0 for row in result["rows"] if "skipped" not in row["note"])
