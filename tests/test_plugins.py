"""What other packages bring: the example of docs/, installed; and names that stand for nothing."""

import dataclasses
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from metarl_jax import cli, plugins
from metarl_jax.algorithms import ALGORITHMS, Entry, find_algorithm, make_algorithm
from metarl_jax.envs import make
from metarl_jax.errors import ConfigError
from metarl_jax.policies import PolicyConfig
from metarl_jax.runs import runlog

EXAMPLE = Path(__file__).parents[1] / "docs" / "example_package"


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """The folder that the example is installed in, offline."""
    work = tmp_path_factory.mktemp("plugins")
    source = shutil.copytree(EXAMPLE, work / "source")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run([*pip, "--target", str(work / "target"), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return work / "target"


@pytest.fixture
def installed(target, monkeypatch):
    monkeypatch.syspath_prepend(str(target))
    plugins.named.cache_clear()
    yield target
    plugins.named.cache_clear()


def test_they_are_listed_without_being_imported(target):
    code = "import sys; from metarl_jax import cli; cli.main(['list'])\n"
    code += "print(sorted({'jax', 'meta_line'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(target), "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["line", "meta_line.line:make"] in lines and ["es", "meta_line.es:ENTRY"] in lines, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_the_environment_is_given(installed):
    env = make("line/wide", horizon=7)
    assert (env.spec.name, env.spec.horizon) == ("line/wide", 7)
    np.testing.assert_array_equal(env.tasks, [-2.0, 2.0])
    labelled = make("line/wide/one-hot")
    assert labelled.spec.obs_dim == 3
    _, timestep = labelled.reset(jax.random.key(0), jax.tree.map(lambda x: x[1], labelled.tasks))
    np.testing.assert_array_equal(timestep.obs[1:], [0.0, 1.0])


def test_a_run(installed, tmp_path, monkeypatch, capfd):
    """Trained, judged at its end, and resumed from what it wrote."""
    monkeypatch.chdir(tmp_path)
    argv = [
        "train",
        "nav-maml",
        "--env",
        "line/wide",
        "--algorithm",
        "es",
        "--algorithm.num-tasks",
        "4",
        "--iterations",
    ]
    argv = [*argv, "2", "--horizon", "3", "--evaluation.tasks", "2", "--window", "1", "--run-dir", "run"]
    assert cli.main(argv) == 0, capfd.readouterr().err
    assert cli.main(["train", "--resume", "run", "--iterations", "3"]) == 0, capfd.readouterr().err
    config = runlog.read_config(Path("run"))
    assert (config.algorithm.name, config.algorithm.num_tasks, config.env) == ("es", 4, "line/wide")
    assert [row["iteration"] for row in runlog.read_metrics(Path("run"))] == [1, 2, 3]


@pytest.mark.slow
def test_the_algorithm_learns(installed):
    """The point cannot know where to go, so that standing still at 0 is best: a return of about -20."""
    env = make("line")
    algorithm = make_algorithm(find_algorithm("es").config, env, PolicyConfig(init_log_std=-1.0), 100)
    state = algorithm.init(jax.random.key(0))
    iterate = jax.jit(algorithm.iterate)
    returns = []
    for i in range(100):
        state, metrics = iterate(state, jax.random.key(i))
        returns.append(metrics["return_after"])
    assert np.mean(returns[-10:]) > np.mean(returns[:10]) + 0.3


MODULE = """
from metarl_jax.envs import make as ours
def make(name, *, physics, horizon, split):
    return ours("point", horizon=horizon)
def make_few(name):
    pass
def make_long(name, *, physics, horizon, split):
    return ours("point")
def make_nothing(name, *, physics, horizon, split):
    pass
value = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the command runs, with modules of the user in it; it is no part of Python's path yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my_worlds.py").write_text(MODULE)
    (tmp_path / "my_broken.py").write_text("import nothing_of_that_name")
    (tmp_path / "my_failure.py").write_text("1 / 0")
    yield tmp_path
    for name in ("my_worlds", "my_broken", "my_failure"):
        sys.modules.pop(name, None)


def test_a_function_by_its_place(folder):
    assert make("my_worlds:make/any/option", horizon=4).spec == make("point", horizon=4).spec


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_worlds:nope", "cannot load 'my_worlds:nope'.*has no attribute 'nope'"),
        ("my_wurlds:make", "cannot load .*No module named 'my_wurlds'"),
        ("my_broken:make", "cannot load .*No module named 'nothing_of_that_name'"),
        ("my_worlds:", "is no place"),
        (":make", "is no place"),
        ("my_worlds.py:make/x", "No module named 'my_worlds.py'"),
        ("my_worlds:value", "must be a function"),
        ("my_worlds:make_few", r"must be a function \(name, \*, physics, horizon, split\)"),
        ("my_worlds:make_long", "made 20 steps per episode of the horizon 4"),
        ("my_worlds:make_nothing", "made None, which is no MetaEnv"),
        ("my_failure:make", "cannot load 'my_failure:make': ZeroDivisionError"),
    ],
)
def test_places_with_nothing_to_make(folder, name, words):
    with pytest.raises(ConfigError, match=words):
        make(name, horizon=4)


def test_the_command_says_so(folder, capfd):
    assert cli.main(["train", "nav-maml", "--env", "my_wurlds:make", "--run-dir", "new"]) == 2
    assert capfd.readouterr().err.startswith("error: cannot load 'my_wurlds:make'") and not Path("new").exists()


def points(*named):
    group = plugins.ALGORITHMS
    return lambda group_=None, **_: [importlib.metadata.EntryPoint(name, value, group) for name, value in named]


@dataclasses.dataclass(frozen=True)
class Nameless:
    """A configuration that does not say what it belongs to."""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (3, "must be a metarl_jax.algorithms.Entry"),
        (Entry({}, print), "must be a metarl_jax.algorithms.Entry of a dataclass"),
        (Entry(Nameless(), print), "must say so: name: ClassVar"),
    ],
)
def test_algorithms_that_are_none(monkeypatch, found, words):
    monkeypatch.setattr(plugins, "load", lambda place: found)
    with pytest.raises(ConfigError, match=words):
        find_algorithm("theirs:ENTRY")


def test_an_entry_point_that_is_no_place(monkeypatch):
    plugins.named.cache_clear()
    monkeypatch.setattr(importlib.metadata, "entry_points", points(("theirs", "their_package")))
    for find in (make, find_algorithm):
        with pytest.raises(ConfigError, match="'their_package' is no place"):
            find("theirs")
    plugins.named.cache_clear()


def test_names_that_meet(monkeypatch):
    """A name of ours stays ours; that of two other packages is refused, and a near one is suggested."""
    plugins.named.cache_clear()
    monkeypatch.setattr(
        importlib.metadata, "entry_points", points(("ppo", "theirs:PPO"), ("dreamer", "theirs:DREAMER"))
    )
    assert find_algorithm("ppo") is ALGORITHMS["ppo"]
    with pytest.raises(ConfigError, match="did you mean 'dreamer'"):
        find_algorithm("draemer")
    plugins.named.cache_clear()
    monkeypatch.setattr(importlib.metadata, "entry_points", points(("a", "theirs:A"), ("a", "others:A")))
    with pytest.raises(ConfigError, match="two installed packages bring 'a'"):
        find_algorithm("a")
    plugins.named.cache_clear()
