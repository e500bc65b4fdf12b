"""What an agent knows of its tasks, against closed forms; the command, on a tiny run."""

import json

import jax
import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from metarl_jax import rollout
from metarl_jax.algorithms import make_algorithm
from metarl_jax.cli import main
from metarl_jax.runs import embedding
from metarl_jax.runs.embedding import Embedding


def test_principal_components():
    """Points on a plane in six dimensions: distances are kept, and two components explain all."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(3, 10, 2)) * [3.0, 1.0]
    basis = np.linalg.qr(rng.normal(size=(6, 2)))[0]
    found, share = embedding.principal(plane @ basis.T + 5.0)
    flat, centred = found.reshape(-1, 2), plane.reshape(-1, 2)
    between = np.linalg.norm(flat[:, None] - flat, axis=-1)
    np.testing.assert_allclose(between, np.linalg.norm(centred[:, None] - centred, axis=-1), atol=1e-9)
    np.testing.assert_allclose(share.sum(), 1.0)
    assert share[0] > share[1]
    line, share = embedding.principal(rng.normal(size=(4, 1)))
    assert line.shape == (4, 2) and not line[:, 1].any() and share.tolist() == [1.0, 0.0]


def test_correlations():
    rng = np.random.default_rng(1)
    number = rng.uniform(size=40)
    turned = np.stack([np.cos(number), np.sin(number)], axis=1)  # a monotone function of distances
    assert embedding.distance_correlation(turned, number[:, None]) == pytest.approx(1.0)
    assert abs(embedding.distance_correlation(rng.normal(size=(40, 3)), number[:, None])) < 0.2
    assert embedding.distance_correlation(np.zeros((40, 3)), number[:, None]) is None
    points = rng.normal(size=(40, 4))
    points[:, 2] += 2.0 * number
    gram = np.trace((points - points.mean(0)) @ (points - points.mean(0)).T) / 40
    by_sklearn = cross_val_predict(Ridge(alpha=1e-3 * gram), points, number, cv=LeaveOneOut())
    expected = np.corrcoef(by_sklearn, number)[0, 1]
    assert embedding.linear_correlation(points, number) == pytest.approx(expected, abs=2e-3)
    assert embedding.linear_correlation(points, np.ones(40)) is None


def test_neighbours():
    """Two families far apart; and where families say nothing, what chance gives."""
    rng = np.random.default_rng(2)
    names = ["a"] * 8 + ["b"] * 8
    points = rng.normal(size=(16, 3)) + 100.0 * np.repeat([[0.0], [1.0]], 8, axis=0)
    assert embedding.same_family(points, names) == (1.0, pytest.approx(7 / 15))
    chances = [embedding.same_family(rng.normal(size=(16, 3)), names)[0] for _ in range(200)]
    assert np.mean(chances) == pytest.approx(7 / 15, abs=0.02)


def test_relations_of_a_suite():
    """Distances count within a family alone."""
    tasks = [np.arange(6.0)[:, None], np.arange(6.0)[:, None] ** 2]
    points = np.concatenate([tasks[0], 1000.0 + tasks[1]])[None]
    (row,) = embedding.relations(Embedding(points, tasks, ["a"] * 6 + ["b"] * 6))
    assert row == {
        "step": 0,
        "distance_correlation": pytest.approx(1.0),
        "same_family": 1.0,
        "chance": pytest.approx(5 / 11),
    }


@pytest.mark.parametrize("name", ["pearl", "maml-ppo", "rl2"])
def test_knowledge_grows_with_adaptation(name, make_point, tiny_algorithms, policy_for):
    """Before it all tasks are one; after it each has a point of its own."""
    env, shape = make_point(), (5, 2)
    algorithm = make_algorithm(tiny_algorithms[name], env, policy_for(name), 1)
    state = algorithm.init(jax.random.key(0))
    tasks = rollout.sample_tasks(env, jax.random.key(1), 5)
    points = embedding.observe(algorithm, env, state, tasks, jax.random.key(2), shape, 2).knowledge
    assert points.shape[:2] == (3, 5) and not np.ptp(points[0], axis=0).any()
    for step in (1, 2):
        assert len(np.unique(points[step], axis=0)) == 5
    numbers, names = embedding.describe_tasks(env, tasks, 5)
    np.testing.assert_allclose(numbers[0], tasks)
    assert names == ["point-test"] * 5


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_the_command(method, tmp_path, capsys):
    tiny = [
        "--iterations",
        "1",
        "--evaluation.tasks",
        "6",
        "--algorithm.num-tasks",
        "2",
        "--algorithm.envs-per-task",
        "2",
    ]
    assert main(["train", "nav-maml", *tiny, "--run-dir", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["embed", str(tmp_path / "run"), "--method", method, "--steps", "2"]) == 0
    said = capsys.readouterr().out
    assert "distances" in said and "number 2" in said
    files = {path.suffix: path for path in (tmp_path / "run").glob("*/embedding-*")}
    report = json.loads(files[".json"].read_text())
    assert np.shape(report["points"])[:2] == (3, 6) and np.shape(report["tasks"]) == (1, 6, 2)
    assert files[".png"].stat().st_size > 5_000
    assert method == "pca" or "tsne" in files[".png"].name


def test_what_does_not_adapt(tmp_path, capsys):
    tiny = ["--iterations", "1", "--env", "point", "--algorithm.unroll", "20", "--evaluation.tasks", "3"]
    assert main(["train", "halfcheetah-ppo", *tiny, "--run-dir", str(tmp_path / "run")]) == 0
    assert main(["embed", str(tmp_path / "run")]) == 2
    assert "ppo does not adapt in this run" in capsys.readouterr().err
