"""Judging beyond the range of training: which tasks are judged, what is summed up, what is drawn; the command."""

import json

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from metarl_jax import evaluation
from metarl_jax.cli import main
from metarl_jax.envs.parameters import number, radius
from metarl_jax.errors import ConfigError
from metarl_jax.evaluation import Curve
from metarl_jax.runs import shift
from metarl_jax.show.shift import shade


def study(parameter, values, tasks, make_point):
    """With returns that are minus what the parameter is, and after one step less by what else there is to a task."""

    def play(state, moved, key):
        before = -jnp.asarray(moved).reshape(len(moved), -1)[:, 0]
        return Curve(jnp.stack([before, before - jnp.arange(len(moved))]), jnp.zeros((2, len(moved))))

    asked = shift.Shift("speed", parameter, np.asarray(values))
    return shift.study(asked, play, (make_point(), make_point()), None, tasks, None)


def test_study(make_point):
    """Values in their order; means of those inside, outside, and their difference, task by task."""
    report = study(number(0.0, 2.0), [-1.0, 0.0, 1.0, 2.0, 5.0], jnp.full(4, 0.7), make_point)
    assert report["inside"] == [False, True, True, True, False] and report["trained"] == [0.0, 2.0]
    before, after = report["return"]
    np.testing.assert_allclose(before["by_value"]["mean"], [1.0, 0.0, -1.0, -2.0, -5.0])
    np.testing.assert_allclose(after["by_value"]["mean"], np.array([1.0, 0.0, -1.0, -2.0, -5.0]) - 1.5)
    means = [before[part]["mean"] for part in ("inside", "outside", "difference")]
    np.testing.assert_allclose(means, [-1.0, -2.0, 1.0])
    np.testing.assert_allclose(before["difference"]["mean_interval"], [1.0, 1.0])
    assert report["distinct_tasks"] == 1 and np.shape(report["return_of_each"]) == (5, 2, 4)
    low, high = after["inside"]["mean_interval"]  # over the rows of the one task: of 0, -1, -2 and -3
    expected = evaluation.estimate(-1.0 - np.arange(4.0)).mean_interval
    np.testing.assert_allclose([low, high], expected, atol=0.3)
    assert low < -2.5 < high


def test_what_else_there_is_to_a_task_stays(make_point):
    goals = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    report = study(radius(1.0, 1.0), [0.5, 1.0, 3.0], goals, make_point)
    assert report["inside"] == [False, True, False] and report["distinct_tasks"] == 3
    np.testing.assert_allclose(
        np.array(report["return_of_each"])[:, 0], -np.array([[r, 0.0, -r] for r in (0.5, 1.0, 3.0)]), atol=1e-6
    )


def test_inside_alone(make_point):
    report = study(number(0.0, 2.0), [0.5, 1.0], jnp.zeros(2), make_point)
    assert "outside" not in report["return"][0] and "difference" not in report["return"][0]


def test_values_are_those_that_are_asked_for():
    assert shift.parse("goal-x=-0.25..1e-1:8") == ("goal-x", -0.25, 0.1, 8)
    np.testing.assert_allclose(shift.parse("speed=0..5:11").each, np.arange(11) / 2)
    asked = shift.find(shift.parse("speed=0..0.3:4"), {"speed": number(0.1, 0.3)}, "x")
    assert asked.inside.tolist() == [False, True, True, True]  # though 0.1 and 0.3 are none of float64's


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("speed", "write NAME=LOW..HIGH:STEPS"),
        ("speed=1..2", "write NAME"),
        ("speed=1:2:3", "write NAME"),
        ("=1..2:3", "write NAME"),
        ("speed=a..2:3", "write NAME"),
        ("speed=2..1:3", "LOW the smaller"),
        ("speed=1..1:3", "LOW the smaller"),
        ("speed=0..inf:3", "finite"),
        ("speed=nan..1:3", "finite"),
        ("speed=0..1:1", r"\[2, 100\]"),
        ("speed=0..1:1000", r"\[2, 100\]"),
        ("speed=0..1:-3", "write NAME"),
        ("sped=0..1:3", r"choose from speed \(0..2 m/s\), radius \(1..1\)"),
        ("radius=-1..1:3", r"radius must lie in \[0, inf\]"),
    ],
)
def test_bad_values(text, words):
    with pytest.raises(ConfigError, match=words):
        shift.find(shift.parse(text), {"speed": number(0.0, 2.0, "m/s"), "radius": radius(1.0, 1.0)}, "x")


@pytest.mark.parametrize("trained", [(0.5, 2.0), (1.0, 1.0)])
def test_the_range_is_what_is_shaded(trained):
    axes = Figure().subplots()
    shade(axes, trained, np.array([0.0, 3.0]))
    (patch,) = axes.patches
    np.testing.assert_allclose([patch.get_x(), patch.get_x() + patch.get_width()], trained)
    assert axes.get_xlim()[0] < 0.0 and axes.get_xlim()[1] > 3.0
    assert patch.get_linewidth() > 0.0  # what has no width is seen too


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("shift") / "run"
    tiny = "--iterations 1 --horizon 5 --evaluation.tasks 4 --algorithm.num-tasks 8 --algorithm.envs-per-task 2"
    assert main(["train", "nav-maml", "--env", "point-sparse", *tiny.split(), "--run-dir", str(directory)]) == 0
    return directory


def test_the_command(trained, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["evaluate", str(trained), "--shift", "radius=0.1..1.9:4", "--steps", "0", "2"]) == 0
    out = capsys.readouterr().out
    assert "in training 1 to 1" in out and "outside" in out and "return, step 2" in out
    (path,) = trained.glob("eval/shift-radius-0.1..1.9-4-iteration-1-*.json")
    report = json.loads(path.read_text())
    assert np.shape(report["return_of_each"]) == (4, 3, 4) and report["inside"] == [False] * 4
    first = np.array(report["return"][2]["by_value"]["mean"])
    np.testing.assert_allclose(first, np.array(report["return_of_each"])[:, 2].mean(axis=1))
    assert f"{first[0]:.2f} (" in out
    assert matplotlib.image.imread(trained / "plots" / f"{path.stem}.png").std() > 0.0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--shift", "speed=0..1:3"], "choose from angle (0..3.14 rad), radius (1..1)"),
        (["--shift", "angle=-4..1:3"], "angle must lie in"),
        (["--shift", "angle"], "write NAME=LOW..HIGH:STEPS"),
        (["--shift", "angle=0..1:3", "--on", "metaworld"], "--shift goes with --on native"),
    ],
)
def test_bad_command_lines(trained, capsys, argv, words):
    before = sorted(trained.rglob("*"))
    assert main(["evaluate", str(trained), *argv]) == 2
    err = capsys.readouterr().err
    assert words in err and len(err.splitlines()) == 1
    assert sorted(trained.rglob("*")) == before


def test_tasks_without_numbers():
    with pytest.raises(ConfigError, match="no number of the tasks of 'cheetah-dir' can be set"):
        shift.find(shift.parse("speed=0..1:3"), {}, "cheetah-dir")
