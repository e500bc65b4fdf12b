"""What a command does with odd input and odd surroundings: one line, and nothing lost."""

import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import metarl_jax
from metarl_jax import cli, errors, make_algorithm, names, presets
from metarl_jax.algorithms import ALGORITHMS
from metarl_jax.benchmarks import physics
from metarl_jax.cli.train import parse_train
from metarl_jax.config import to_json
from metarl_jax.learning.distributions import DISTRIBUTIONS
from metarl_jax.networks import MEMORIES, NETWORKS
from metarl_jax.runs import metrics, runlog
from metarl_jax.runs.settings import distinct
from metarl_jax.show import console, plots, streams, tables
from metarl_jax.show.plots import Setting
from metarl_jax.types import MetaEnv

HUGE = "2000000000"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train nav-maml --iterations x", "--iterations: 'x' is not a whole number"),
        ("train nav-maml --iterations 1.5", "'1.5' is not a whole number"),
        ("train nav-maml --iteration 3", "did you mean --iterations"),
        ("train nav-maml --horizon x", "--horizon: 'x' is not a whole number"),
        ("train nav-maml --algorithm.inner.lr fast", "--algorithm.inner.lr"),
        ("train nav-maml --policy.network.activation foo", "choose from gelu, relu, swish, tanh"),
        ("train nav-maml --policy.network.hidden", "hidden sizes must be positive"),
        ("train nav-maml --policy.network.hidden a", "--policy.network.hidden"),
        ("train nav-maml --policy.normalize-obs maybe", "maybe"),
        ("train nav-maml --run-dir", "--run-dir"),
        ("train nav-maml extra", "extra"),
        (f"train nav-maml --seed {'9' * 5000}", "5000 digits"),
        (f"train nav-maml --seed {'9' * 20}", "too large"),
        ("train nav-maml --seed -1", "seed must lie in"),
        (f"train nav-maml --iterations {'9' * 19}", "too large"),
        (
            f"train nav-maml --algorithm.num-tasks {HUGE}",
            "algorithm.num_tasks x algorithm.envs_per_task must be at most",
        ),
        (f"train nav-maml --algorithm.envs-per-task {HUGE}", "must be at most"),
        (f"train nav-maml --evaluation.tasks {HUGE}", "evaluation.tasks x evaluation.episodes must be at most"),
        (f"train nav-maml --evaluation.episodes {HUGE}", "must be at most"),
        ("train nav-maml --env metaworld/reach-v3+reach-v3", "names a task twice"),
        ("train nav-maml --env metaworld/reach-v3/ml1/mt1", "both 'ml1' and 'mt1'"),
        ("train nav-maml --env metaworld/reach-v3/seed=1/seed=2", "an option twice"),
        ("train nav-maml --env metaworld/ML10/seed=99999999999999999999", "unknown option"),
        ("train nav-maml --env metaworld//ml1", "choose from"),
        ("train nav-maml --env metaworld/", "choose from"),
        ("train nav-maml --coordinator nonsense --processes 2 --process-id 0 --run-dir r", "HOST:PORT"),
        ("train nav-maml --coordinator host:port --processes 2 --process-id 0 --run-dir r", "HOST:PORT"),
        ("evaluate", "Run directory"),
        ("evaluate x --tasks 1e11", "--tasks: '1e11' is not a whole number"),
        ("video x --width 1.5", "--width: '1.5' is not a whole number"),
        ("plot x --out x.xyz", "must end in .png, .pdf, .svg"),
        ("plot", "at least one run"),
        ("bench physics --minutes soon", "'soon' is not a number"),
        ("sweep nav-maml", "--out"),
    ],
)
def test_bad_input_is_one_line(line, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert cli.main(line.split()) == 2
    out, err = capfd.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")
    assert words.lower() in err.lower()
    assert not any(tmp_path.iterdir())


def test_names_that_are_near():
    with pytest.raises(errors.ConfigError, match=r"choose from a, b\."):
        errors.lookup("", {"a": 0, "b": 0}, "letter")


@pytest.mark.parametrize("word", ["--help", "--version", "list"])
def test_what_answers_at_once_needs_no_jax(word):
    code = f"import sys; from metarl_jax import cli; cli.main([{word!r}]); print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    *said, loaded = done.stdout.splitlines()
    assert loaded == "False" and said, done.stderr


def test_everything_that_can_be_made_has_a_name_and_a_line_about_it():
    tables = {"PRESETS": presets.PRESETS, "ALGORITHMS": ALGORITHMS, "NETWORKS": NETWORKS, "MEMORIES": MEMORIES}
    tables |= {"DISTRIBUTIONS": DISTRIBUTIONS}
    assert presets._CONFIGS.keys() == presets.PRESETS.keys()
    for table, made in tables.items():
        assert list(getattr(names, table)) == list(made) and all(getattr(names, table).values())


def test_no_home(tmp_path, monkeypatch):
    """Neither HOME nor a user of that number: no cache, and no directory called `~`."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cli.main(["plot"]) == 2 and "JAX_COMPILATION_CACHE_DIR" not in os.environ
    assert not any(tmp_path.iterdir())


# Streams.


class Gone(io.StringIO):
    """A stream that fails from the second line on."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        if self.tell():
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), OSError(5, "Input/output error")])
def test_a_reader_that_leaves(monkeypatch, name, error):
    monkeypatch.setattr(sys, name, Gone(error))
    with streams.lasting():
        for line in ("first", "second", "third"):
            print(line, file=getattr(sys, name), flush=True)
            tables.print_tables({line: {"a": "b"}})
    assert getattr(sys, name).getvalue().startswith("first") or name == "stdout"


def test_a_disk_that_is_full_under_a_result(monkeypatch, capsys):
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(sys, "stdout", Gone(full))
    with pytest.raises(errors.ConfigError, match="standard output cannot be written: No space"), streams.lasting():
        print("a\nb", flush=True)
        print("c", flush=True)
    with streams.lasting():
        sys.stderr.write("progress has no such error")


def test_letters_that_cannot_be_shown(tmp_path):
    code = "import sys; from metarl_jax.show import streams\nwith streams.lasting(): print('größe ─')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}
    )
    assert (done.returncode, done.stdout) == (0, "gr??e ?\n"), done.stderr


def test_only_the_result_on_standard_output(monkeypatch, capfd):
    """Of a benchmark in which somebody else prints."""
    monkeypatch.setattr(physics, "measure", lambda: print("something about warp") or [{"steps": 1}])
    assert cli.main(["bench", "physics", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["rows"] == [{"steps": 1}] and "warp" in err


@pytest.mark.parametrize(("backend", "error"), [("mjx", ""), ("warp", "needs the extra of that name")])
def test_nothing_is_said_of_what_an_import_does_not_find(backend, error):
    """MJX prints that Warp is not installed; our own error says so where Warp was asked for."""
    code = (
        "import sys; sys.modules['warp'] = None; sys.modules['warp.config'] = None; import importlib.util, mujoco;"
        "find = importlib.util.find_spec; importlib.util.find_spec = lambda name: None if name == 'warp' else find(name);"
        "from metarl_jax.envs.physics import make_physics;"
        f"make_physics(mujoco.MjModel.from_xml_string('<mujoco/>'), 1, {backend!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "" and error in done.stderr and bool(error) == bool(done.returncode), done.stderr


def test_nothing_foreign_is_markup(capsys):
    point = {"mean": 1.0, "iqm": 1.0, "interval": (0.0, 2.0), "mean_interval": (0.0, 2.0)}
    summary = dict.fromkeys(("iterations", "env_steps", "wall_seconds", "compile_seconds", "train_seconds", "seed"), 1)
    summary |= {"preset": "a[/b]", "tasks": "[red]40", "notes": ["[/lr] :smile:"], "env_steps_per_second": 1.0}
    console.print_summary(summary | {"return_before": point, "return_after": point}, "runs/exp[/lr]")
    out = capsys.readouterr().out
    for words in ("a[/b]", "[red]40", "[/lr] :smile:", "runs/exp[/lr]"):
        assert words in out


# Figures.


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        ("a/seed-0 b/seed-0 c/seed-0", "a b c"),
        ("a/seed-0 a/seed-1", "seed-0 seed-1"),
        ("r/a/x/s r/b/y/s", "a/x b/y"),
        ("r/a r/a/b", "a b"),
        ("one", "one"),
        ("a/b/a b/b/b", "a/b/a b/b/b"),
    ],
)
def test_names_of_runs(paths, labels):
    found = distinct([runlog.Path(path) for path in paths.split()])
    assert len(set(found)) == len(found) and found == labels.split()


def write_run(directory, seed, offset=0.0, **changes):
    config = dataclasses.replace(presets.PRESETS["nav-maml"].config, seed=seed, **changes)
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(to_json(config))
    times = dict.fromkeys(metrics.FIELDS, 1.0)
    rows = [
        {"iteration": i, "env_steps": 1000 * i, **times, "return_before": offset, "return_after": offset + i}
        for i in (1, 2, 3)
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


@pytest.mark.parametrize("suffix", plots.SUFFIXES)
def test_plot_draws_a_line_for_each_setting(tmp_path, monkeypatch, capfd, suffix):
    """Three settings of one preset, of which one has two seeds."""
    runs = [write_run(tmp_path / name / f"seed-{seed}", seed, iterations=size) for name, seed, size in
            (("a", 0, 3), ("a", 1, 3), ("b", 0, 4), ("c", 0, 5))]  # fmt: skip
    drawn = []
    finish = plots.finish
    monkeypatch.setattr(plots, "finish", lambda *args: drawn.append(args[1]["return"]) or finish(*args))
    out = tmp_path / f"curves{suffix}"
    assert cli.main(["plot", *map(str, runs), "--out", str(out)]) == 0, capfd.readouterr().err
    assert out.stat().st_size > 1000
    labels = [line.get_label() for line in drawn[0].get_lines() if not line.get_label().startswith("_")]
    after = [label for label in labels if "after" in label]
    assert len(after) == 3 and [label.split("/")[0].split(",")[0] for label in after] == ["a", "b", "c"]
    assert "millions" in drawn[0].get_xlabel()
    assert cli.main(["plot", str(runs[0]), str(runs[0])]) == 2


def test_bands_over_seeds_are_student_intervals(tmp_path, monkeypatch):
    """Of the mean of five seeds and more."""
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    rows = [[{"env_steps": 1e6, "return_before": 0.0, "return_after": v}] * 3 for v in values]
    drawn = []
    monkeypatch.setattr(plots, "finish", lambda figure, panels, path: drawn.append(panels["return"]))
    plots.learning_curves([Setting("five", rows)], tmp_path / "x.png")
    bounds = drawn[0].collections[-1].get_paths()[0].vertices[:, 1]
    expected = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    np.testing.assert_allclose([bounds.min(), bounds.max()], expected)


def test_a_flat_curve_has_a_sane_scale(tmp_path, monkeypatch):
    rows = [{"env_steps": i, "return_before": 100.0, "return_after": 100.0 + 1e-6 * i} for i in range(5)]
    drawn = []
    monkeypatch.setattr(plots, "finish", lambda figure, panels, path: drawn.append(panels["return"]))
    plots.learning_curves([Setting("flat", [rows])], tmp_path / "x.png")
    low, high = drawn[0].get_ylim()
    assert high - low >= 1.9


def test_paths_show_start_time_and_goals(tmp_path, monkeypatch):
    """In every panel: the frame holds the goals, which no path comes near, and one bar says which colour is which step."""
    drawn = []
    monkeypatch.setattr(plots, "finish", lambda figure, panels, path: drawn.append(figure))
    goals = np.array([[3.0, 0.0], [0.0, -4.0]])
    ways = np.cumsum(np.full((2, 2, 6, 2), 0.1), axis=2)
    plots.paths(ways, goals, np.zeros((2, 2)), tmp_path / "x.png")
    *panels, bar = drawn[0].axes
    assert len(panels) == 4 and bar.get_ylabel() == "step"
    for axes in panels:
        (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert low < 0 and high > 3.2 and bottom < -4.2 and top > 0.6
        (steps,) = axes.collections
        np.testing.assert_array_equal(steps.get_array(), np.arange(6))
        (start,) = [line for line in axes.get_lines() if line.get_label() == "start"]
        assert (*start.get_xdata(), *start.get_ydata()) == (0.1, 0.1)
    assert {text.get_text() for text in drawn[0].legends[0].get_texts()} == {"goal", "start"}


# From Python.


def test_what_is_no_environment(make_point, tiny_algorithms, tiny_policy):
    class Forgetful:
        spec = make_point().spec

        def reset(self, key, task):
            pass

    with pytest.raises(errors.ConfigError, match=r"Forgetful is no MetaEnv .*: it lacks tasks, sample_task, step\.$"):
        make_algorithm(tiny_algorithms["ppo"], Forgetful(), tiny_policy, 1)


def run_an_iteration(code):
    """What an example leaves behind."""
    made = {"__name__": "example"}
    exec(code, made)
    assert made["state"].step == 1 and np.isfinite(made["metrics"]["return_after"])
    return made


@pytest.mark.slow
def test_the_first_example():
    """Of the package's docstring, as it stands there."""
    run_an_iteration(textwrap.dedent(metarl_jax.__doc__.rpartition(":\n\n")[2]))


def test_the_recipe_of_an_environment():
    """Of docs/extend.md, as it stands there; of what it shows, everything that an environment must have is used."""
    page = Path(__file__).parents[1] / "docs" / "extend.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    made = run_an_iteration(code)
    assert {name for name in MetaEnv.__annotations__ | vars(MetaEnv) if name[0] != "_"} <= set(vars(made["Line"]))


# Runs that may only be read, and backends that are not there.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("manners") / "run"
    argv = ["train", "nav-maml", "--iterations", "1", "--horizon", "4", "--algorithm.num-tasks", "2", "--run-dir"]
    argv = [*argv, str(directory), "--algorithm.envs-per-task", "2", "--evaluation.tasks", "2"]
    assert cli.main(argv) == 0
    return directory


def test_the_table_of_a_run_that_may_only_be_read(trained, tmp_path, monkeypatch, capfd):
    """It is shown before anything is written, which `--out` then takes elsewhere."""
    write = runlog.write_atomically

    def refuse(path, text):
        if path.is_relative_to(trained):
            raise PermissionError(13, "Permission denied", str(path))
        write(path, text)

    for module in ("runs.judging", "runs.runlog"):
        monkeypatch.setattr(f"metarl_jax.{module}.write_atomically", refuse)
    argv = ["evaluate", str(trained), "--episodes", "3"]
    assert cli.main(argv) == 2
    out, err = capfd.readouterr()
    assert "adaptation steps" in out and err.splitlines()[-1].startswith("error: cannot write ") and "--out" in err
    assert cli.main([*argv, "--out", str(tmp_path)]) == 0
    assert [path.suffix for path in sorted(tmp_path.glob("*/*"))] == [".json", ".png"]


def test_another_backend_than_that_of_the_run(trained, tmp_path, capfd):
    """A run of a machine with a GPU goes on, and is judged, on one without."""
    run = shutil.copytree(trained, tmp_path / "run")
    config = json.loads((run / "config.json").read_text()) | {"physics": "nothing"}
    (run / "config.json").write_text(json.dumps(config))
    options = parse_train(["--resume", str(run), "--physics", "mujoco"])
    assert options.config.physics == "mujoco"
    with pytest.raises(errors.ConfigError, match="cannot change"):
        parse_train(["--resume", str(run), "--horizon", "7"])
    (run / "config.json").write_text(json.dumps(config | {"env": "cheetah-dir"}))
    assert cli.main(["adapt", str(run)]) == 2
    assert "unknown physics backend 'nothing'" in capfd.readouterr().err
    assert cli.main(["adapt", str(run), "--physics", "mujoco"]) == 2
    assert "does not fit" in capfd.readouterr().err  # it has come to the checkpoint, which is of a point
