"""What is said of one task, against closed forms, SciPy and simulation; the command, on tiny runs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial
import scipy.stats

from metarl_jax.algorithms import make_algorithm
from metarl_jax.algorithms.inner_loop import InnerLoopConfig
from metarl_jax.algorithms.maml_ppo import MamlPpoConfig
from metarl_jax.cli import main
from metarl_jax.runs import diagnosis, embedding
from metarl_jax.runs.embedding import Seen
from metarl_jax.types import EnvSpec


def walks(rng, shape, trend):
    """Returns `[K + 1, R]` that grow by `trend` per step, with noise that goes on from step to step."""
    steps = np.arange(shape[0])[:, None]
    return trend * steps + np.cumsum(rng.normal(size=shape), axis=0) + 0.5 * rng.normal(size=shape)


def test_slope():
    """That of each repetition by SciPy's regression, their interval by SciPy's test."""
    returns = walks(np.random.default_rng(0), (4, 7), 0.3)
    slopes = [scipy.stats.linregress(np.arange(4), column).slope for column in returns.T]
    interval = scipy.stats.ttest_1samp(slopes, 0.0).confidence_interval()
    mean, ends = diagnosis.slope(returns)
    np.testing.assert_allclose([mean, *ends], [np.mean(slopes), *interval], rtol=1e-9)


def test_slopes_interval_holds_what_it_promises():
    """In 95 of 100, where each adaptation has a slope of its own: a regression of all points would promise more."""
    rng = np.random.default_rng(1)
    held = {"slopes": 0, "all": 0}
    for _ in range(1500):
        returns = walks(rng, (4, 6), 0.3 + 2.0 * rng.normal(size=6))
        low, high = diagnosis.slope(returns)[1]
        held["slopes"] += low < 0.3 < high
        fit = scipy.stats.linregress(np.repeat(np.arange(4), 6), returns.ravel())
        held["all"] += abs(fit.slope - 0.3) < scipy.stats.t.ppf(0.975, 22) * fit.stderr
    assert 0.935 < held["slopes"] / 1500 < 0.965
    assert held["all"] / 1500 < 0.93


@pytest.mark.parametrize(("trend", "word"), [(3.0, "helps"), (-3.0, "does harm"), (0.0, "cannot be told from chance")])
def test_judgement_of_adaptation(trend, word):
    check = diagnosis.check_adaptation(walks(np.random.default_rng(2), (3, 10), trend))
    assert f"Adaptation {word}" in check.judgement and len(check.numbers["return_by_step"]) == 3
    assert f"{check.numbers['slope']:+.3g} of return per step" in check.judgement


def test_what_does_not_adapt_has_no_slope():
    assert "does not adapt" in diagnosis.check_adaptation(np.zeros((1, 5))).judgement
    assert "does not adapt" in diagnosis.check_embedding(np.zeros((5, 0)), np.zeros((9, 0))).judgement


def test_a_task_of_training_is_seldom_called_unlike():
    """In at most 5 of 100; one that is far away always."""
    rng = np.random.default_rng(3)
    unlike = 0
    for _ in range(1000):
        points = rng.normal(size=(40, 2))
        unlike += "unlike" in diagnosis.check_embedding(points[:1], points[1:]).judgement
    assert 0.01 < unlike / 1000 < 0.065
    points = rng.normal(size=(40, 2))
    check = diagnosis.check_embedding(np.full((3, 2), 30.0), points)
    between = scipy.spatial.cKDTree(points).query(points, k=2)[0][:, 1]
    away = scipy.spatial.cKDTree(points).query([30.0, 30.0])[0]
    assert check.numbers == pytest.approx({"distance": away, "typical": np.median(between), "share_as_far": 1 / 41})
    assert "unlike all" in check.judgement and "nearest of 40 training tasks" in check.judgement
    assert "Too few" in diagnosis.check_embedding(np.full((3, 2), 30.0), points[:10]).judgement


def seen(returns, knowledge):
    return Seen(np.asarray(returns), np.zeros_like(returns), np.asarray(knowledge))


def test_neighbours():
    """Numbers in units of their spread; a number that all tasks share does not count, but where this one has another."""
    rng = np.random.default_rng(4)
    theirs = np.concatenate([rng.normal(size=(30, 2)) * [1.0, 100.0], np.full((30, 1), 7.0)], axis=1)
    known = np.stack([np.zeros((30, 2)), theirs[:, :2] / [1.0, 100.0]])  # it knows the tasks as they are
    returns = np.stack([np.zeros(30), np.arange(30.0)])
    mine = seen(np.array([[0.0, 0.0], [4.0, 6.0]]), np.stack([np.zeros((2, 2)), [[0.5, 0.4], [0.5, 0.4]]]))
    check, found = diagnosis.find_neighbours(np.array([0.5, 40.0, 7.0]), theirs, mine, seen(returns, known))
    tree = scipy.spatial.cKDTree(theirs[:, :2] / theirs[:, :2].std(axis=0))
    distance, rows = tree.query(np.array([0.5, 40.0]) / theirs[:, :2].std(axis=0), k=5)
    assert [x.row for x in found] == rows.tolist()
    np.testing.assert_allclose([x.distance for x in found], distance)
    np.testing.assert_allclose([x.return_after for x in found], rows)
    away = np.linalg.norm(known[1] - [0.5, 0.4], axis=1)
    assert [x.knowledge_rank for x in found] == [1 + np.sum(away < away[row]) for row in rows]
    assert check.numbers["shared"] == sum(x.knowledge_rank <= 5 for x in found) >= 4
    assert check.numbers["shared_by_chance"] == pytest.approx(25 / 30)
    assert f"earns 5 here and {rows.mean():.3g} there" in check.judgement
    other = diagnosis.find_neighbours(np.array([0.5, 40.0, 9.0]), theirs, mine, seen(returns, known))[1]
    assert min(x.distance for x in other) > 2.0


def test_neighbours_where_nothing_adapts():
    nothing = seen(np.zeros((1, 3)), np.zeros((1, 3, 0)))
    check, found = diagnosis.find_neighbours(np.array([1.0]), np.array([[0.0], [1.0], [5.0]]), nothing, nothing)
    assert [x.row for x in found] == [1, 0, 2] and found[0].knowledge_rank is None
    assert "in what it knows" not in check.judgement


SPEC = EnvSpec("x", 1, 3, 5, (-2.0, -2.0, -2.0), (2.0, 2.0, 2.0))


def test_entropy_as_a_spread():
    """Of Gaussians their standard deviation, of equally likely actions their number."""
    gaussian = scipy.stats.multivariate_normal(np.zeros(3), np.diag([0.3**2] * 3)).entropy()
    check = diagnosis.check_entropy(np.full((2, 4), gaussian), SPEC, squashed=False)
    np.testing.assert_allclose(check.numbers["spread"], [0.3, 0.3])
    assert "vary, and are not random" in check.judgement
    in_bounds = diagnosis.check_entropy(np.full((2, 4), gaussian + 3 * np.log(2.0)), SPEC, squashed=True)
    np.testing.assert_allclose(in_bounds.numbers["spread"], [0.3, 0.3])
    narrow = scipy.stats.norm(0.0, 0.01).entropy() * 3
    assert "hardly vary" in diagnosis.check_entropy(np.full((2, 4), narrow), SPEC, squashed=False).judgement
    discrete = SPEC._replace(action_low=(), action_high=(), discrete=True)
    even = diagnosis.check_entropy(np.array([[np.log(3.0)], [np.log(2.0)]]), discrete, squashed=False)
    np.testing.assert_allclose(even.numbers["spread"], [3.0, 2.0])
    assert "as if 3.00 of 3 actions" in even.judgement
    assert "nearly random" in diagnosis.check_entropy(np.full((2, 4), np.log(3.0)), discrete, False).judgement


@pytest.mark.parametrize("name", ["maml-ppo", "pearl"])
def test_observe(name, make_point, tiny_algorithms, policy_for):
    """Repetitions of a task differ once it adapts; what is drawn is as surprising as the policy's entropy says."""
    env, shape, steps = make_point(horizon=14), (3, 4), 1
    algorithm = make_algorithm(tiny_algorithms[name], env, policy_for(name), 1)
    state = algorithm.init(jax.random.key(0))
    tasks = jnp.tile(jnp.array([1.0, 0.0]), (3, 1))
    found = embedding.observe(algorithm, env, state, tasks, jax.random.key(1), shape, steps)
    assert found.returns.shape == found.surprise.shape == found.knowledge.shape[:2] == (steps + 1, 3)
    assert len(np.unique(found.returns[0])) == 3
    assert not np.ptp(found.knowledge[0], axis=0).any() and np.ptp(found.knowledge[1], axis=0).any()
    if name != "pearl":  # the first policy has one standard deviation everywhere
        entropy = scipy.stats.norm(0.0, np.exp(-0.5)).entropy() * 2
        np.testing.assert_allclose(found.surprise[0], entropy, atol=0.45)
        np.testing.assert_allclose(found.surprise[0].mean(), entropy, atol=0.25)


@pytest.mark.parametrize("learn_lr", [False, True])
def test_inner_gradients(learn_lr, make_point, tiny_policy):
    """Steps of known gradients."""
    config = MamlPpoConfig(num_tasks=2, envs_per_task=2, inner=InnerLoopConfig(lr=0.2, learn_lr=learn_lr))
    state = make_algorithm(config, make_point(), tiny_policy, 1).init(jax.random.key(0))
    leaves, structure = jax.tree.flatten(state.params["policy"])
    rng = np.random.default_rng(5)
    gradients = [rng.normal(size=(2, 3, *x.shape)) for x in leaves]  # [K, N, ...]
    rates = [np.full(x.shape, 0.2) for x in leaves]
    if learn_lr:
        rates = [rng.uniform(0.01, 0.3, size=x.shape) for x in leaves]
        log_rate = jax.tree.unflatten(structure, [jnp.log(x) for x in rates])
        state = state._replace(params=state.params | {"log_rate": log_rate})
    steps = [np.concatenate([0 * g[:1], np.cumsum(-r * g, axis=0)]) for r, g in zip(rates, gradients, strict=True)]
    knowledge = np.concatenate(
        [(x + np.asarray(p)).reshape(3, 3, -1) for x, p in zip(steps, leaves, strict=True)], axis=2
    )
    expected = np.sqrt(sum((g.reshape(2, 3, -1) ** 2).sum(axis=-1) for g in gradients))
    np.testing.assert_allclose(diagnosis.inner_gradients(config, state, knowledge), expected, rtol=1e-5)


def test_no_inner_gradients(tiny_algorithms):
    assert diagnosis.inner_gradients(tiny_algorithms["pearl"], None, np.zeros((2, 3, 4))) is None
    assert diagnosis.inner_gradients(tiny_algorithms["maml-ppo"], None, np.zeros((1, 3, 4))) is None


@pytest.mark.parametrize(
    ("norms", "words"),
    [
        ([1.0] * 40, "in the middle of the run and 1 at last, which is steady"),
        ([1.0] * 36 + [50.0] * 4, "and 50 at last, so that training is about to diverge"),
        ([1.0] * 36 + [1e-9] * 4, "nothing is learned any more"),
        ([1.0] * 36 + [None] * 4, "and 4 were not finite"),
        ([], "No norms of outer gradients are left"),
    ],
)
def test_judgement_of_gradients(norms, words):
    rows = [{"iteration": i + 1, "outer_grad_norm": x} for i, x in enumerate(norms)]
    rows.append({"iteration": 10**6, "outer_grad_norm": 1e9})  # after the checkpoint
    check = diagnosis.check_gradients(rows, None, None, 1000)
    assert words in check.judgement and check.judgement[0].isupper()
    both = diagnosis.check_gradients(rows, np.array([[2.0, 4.0]]), np.array([[1.0]]), 1000)
    assert "Inner gradients are 3 here and 1 on training tasks" in both.judgement


TINY = "--env point-sparse --horizon 5 --iterations 1 --evaluation.tasks 4"


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run, more = str(tmp_path / "run"), "--algorithm.num-tasks 8 --algorithm.envs-per-task 2 --run-dir"
    assert main(["train", "nav-maml", *TINY.split(), *more.split(), run]) == 0
    assert main(["diagnose", run, "--task", "3", "--steps", "2", "--repeats", "4"]) == 0
    out = capsys.readouterr().out
    (path,) = tmp_path.glob("run/eval/diagnosis-task-3-*-steps-2-repeats-4.json")
    report = json.loads(path.read_text())
    assert [check["name"] for check in report["checks"]] == [
        "adaptation",
        "embedding",
        "neighbours",
        "entropy",
        "gradients",
    ]
    assert list(report["numbers"]) == ["angle (rad)", "radius"] and report["numbers"]["radius"] == pytest.approx(1.0)
    assert f"task 3 of point-sparse: angle (rad) {report['numbers']['angle (rad)']:.3g}" in out
    away = [abs(x["numbers"]["angle (rad)"] - report["numbers"]["angle (rad)"]) for x in report["neighbours"]]
    assert len(away) == 5 and away == sorted(away)  # the nearest on a half circle
    for check in report["checks"]:
        assert check["judgement"].split(":")[0] in out
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    for argv, words in ((["--task", "4"], "[0, 3]"), (["--task", "-1"], "--task"), (["--repeats", "1"], "[2, 1023]")):
        assert main(["diagnose", run, *argv]) == 2
        assert words in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_the_command_where_nothing_adapts(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run = tmp_path / "run"
    assert main(["train", "halfcheetah-ppo", *TINY.split(), "--algorithm.unroll", "16", "--run-dir", str(run)]) == 0
    assert main(["diagnose", str(run)]) == 0
    out = capsys.readouterr().out
    assert out.count("does not adapt") == 2 and "Actions" in out and "Outer gradients" in out
    (path,) = run.glob("eval/diagnosis-task-0-iteration-1.json")
    assert len(json.loads(path.read_text())["neighbours"]) == 1  # the one task that it trains on


@pytest.mark.parametrize("name", ["pearl", "sac", "ppo"])
def test_tasks_that_a_run_keeps(name, make_point, tiny_algorithms, policy_for):
    """They are those that it goes on with."""
    algorithm = make_algorithm(tiny_algorithms[name], make_point(horizon=14), policy_for(name), 1)
    state = jax.jit(algorithm.init)(jax.random.key(0))
    tasks = np.asarray(algorithm.kept_tasks(state))
    assert tasks.shape == (tiny_algorithms[name].num_tasks, 2)
    np.testing.assert_allclose(np.linalg.norm(tasks, axis=1), 1.0, rtol=1e-6)
    assert len(np.unique(tasks, axis=0)) == len(tasks)
