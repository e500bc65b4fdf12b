"""The optimum against enumeration, classical players against what was published of them."""

import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import scipy.stats

from metarl_jax import presets, train
from metarl_jax.benchmarks import optimum
from metarl_jax.benchmarks.optimum import bandits, mdps
from metarl_jax.config import with_fields
from metarl_jax.errors import ConfigError

PUBLISHED = {  # 5 arms, 10 pulls (arXiv:1611.02779, table 1): means over 1,000 bandits
    "random": (5.0, bandits.at_random),
    "Gittins": (6.6, bandits.make_gittins(10)),
    "Thompson": (5.7, bandits.thompson),
    "UCB1": (6.7, bandits.ucb1),
    "greedy": (6.6, bandits.greedy),
}


def best_of_histories(num_arms, num_pulls, history=()):
    """The Bayes-optimal value, by a tree of all histories of (arm, won)."""
    if len(history) == num_pulls:
        return Fraction(0)

    def worth(arm):
        won = [w for a, w in history if a == arm]
        mean = Fraction(1 + sum(won), 2 + len(won))
        win, lose = (best_of_histories(num_arms, num_pulls, (*history, (arm, w))) for w in (1, 0))
        return mean * (1 + win) + (1 - mean) * lose

    return max(worth(arm) for arm in range(num_arms))


@pytest.mark.parametrize(("num_arms", "num_pulls"), [(1, 3), (2, 1), (2, 5), (3, 4), (4, 3)])
def test_bayes_optimum_is_the_best_of_all_histories(num_arms, num_pulls):
    expected = float(best_of_histories(num_arms, num_pulls))
    assert bandits.optimal_value(num_arms, num_pulls) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("num_arms", [2, 5])
def test_the_optimal_player_earns_the_optimum(num_arms):
    arms = np.random.default_rng(0).random((20_000, num_arms))
    returns = bandits.play(bandits.make_optimal(num_arms, 10), arms, 10, seed=1)
    assert abs(returns.mean() - bandits.optimal_value(num_arms, 10)) < 4 * returns.std() / np.sqrt(len(returns))


def test_players_earn_what_was_published():
    """Within rounding and twice the error of the published mean; nobody earns more than the optimum."""
    arms = np.random.default_rng(0).random((20_000, 5))
    for name, (published, player) in PUBLISHED.items():
        mean = bandits.play(player, arms, 10, seed=1).mean()
        assert abs(mean - published) < 0.05 + 2 * 2.0 / np.sqrt(1000), name
        assert mean < bandits.optimal_value(5, 10) + 0.05, name


def worth_of_playing(price, wins, losses, left):
    """Of an arm that costs `price` a pull and may be left after any of them: the first of up to `left` pulls is made."""
    if left == 0:
        return 0.0
    mean = (1 + wins) / (2 + wins + losses)
    win, lose = (worth_of_playing(price, *after, left - 1) for after in ((wins + 1, losses), (wins, losses + 1)))
    return mean - price + mean * max(0.0, win) + (1 - mean) * max(0.0, lose)


def test_gittins_indices():
    """At the price of the index playing on is worth nothing."""
    indices = bandits.gittins_indices(6)
    for left, wins, losses in itertools.product(range(1, 5), range(2), range(2)):
        assert abs(worth_of_playing(indices[left, wins, losses], wins, losses, left)) < 1e-4
    assert indices[2, 0, 0] == pytest.approx((1 / 2 + 1 / 2 * 2 / 3) / (1 + 1 / 2))  # once more after a success


def random_mdps(count, states=10, actions=5):
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(states), (count, states, actions))
    return mdps.Mdps(transition, 1.0 + rng.standard_normal((count, states, actions)))


def test_plan_is_the_best_of_all_policies():
    known, horizon = random_mdps(3, states=2, actions=2), 3
    actions, value = mdps.plan(known, horizon)
    for b in range(3):
        values = {}
        for policy in itertools.product(range(2), repeat=2 * horizon):
            chosen, worth = np.reshape(policy, (horizon, 2)), np.zeros(2)
            for step in reversed(range(horizon)):
                at = np.arange(2), chosen[step]
                worth = known.reward[b][at] + known.transition[b][at] @ worth
            values[policy] = worth
        np.testing.assert_allclose(value[b], np.max(list(values.values()), axis=0))
        np.testing.assert_allclose(values[tuple(actions[b].ravel().tolist())], value[b])


def test_who_knows_the_mdp_earns_its_optimum():
    known = random_mdps(1000)
    returns = mdps.play(mdps.make_knowing(known, 10), known, 10, episodes=2, seed=0)
    assert returns.shape == (1000, 2)
    errors = returns.mean(axis=1) - mdps.plan(known, 10)[1][:, 0]
    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(1000)


def test_posterior():
    """After visits: each probability is Beta, each mean reward normal."""
    visits, rewards = np.zeros((2000, 2, 1, 2)), np.zeros((2000, 2, 1))
    visits[:, 0, 0], rewards[:, 0, 0] = (3, 1), 8.0
    drawn = mdps.draw(mdps.Seen(visits, rewards), np.random.default_rng(0))
    for state, beta, mean, std in ((0, (4, 2), 8 / 5, 5**-0.5), (1, (1, 1), 0.0, 1.0)):
        assert scipy.stats.kstest(drawn.transition[:, state, 0, 0], scipy.stats.beta(*beta).cdf).pvalue > 0.01
        assert scipy.stats.kstest(drawn.reward[:, state, 0], scipy.stats.norm(mean, std).cdf).pvalue > 0.01


def test_psrl_earns_what_was_published():
    """10 episodes (ibid., table 2): 138.1, random actions 100.1."""
    known = random_mdps(500)
    for planner, published in ((mdps.make_psrl(10), 138.1), (mdps.make_random(5, 10), 100.1)):
        returns = mdps.play(planner, known, 10, episodes=10, seed=1).sum(axis=1)
        assert abs(returns.mean() - published) < 4 * returns.std() / np.sqrt(500)


def test_figure(tmp_path):
    rows = [
        optimum._row("bandit-rl2", name, mean + np.arange(4.0), np.array([6.0, 7.0]))
        for name, mean in (("RL^2", 4.0), ("optimum", 5.0))
    ]
    assert rows[0]["total_return"] == 5.5 and rows[0]["of_optimum"] == pytest.approx(5.5 / 6.5)
    assert rows[0]["low"] < 5.5 < rows[0]["high"]
    optimum.draw(rows, tmp_path / "optimum.png")
    assert matplotlib.image.imread(tmp_path / "optimum.png").ndim == 3


@pytest.mark.parametrize(
    ("preset", "fields", "given", "words"),
    [
        ("nav-maml", {}, (), "takes one run of each of bandit-rl2, mdp-rl2; run is one of nav-maml"),
        ("bandit-rl2", {}, ("bandit-rl2",), "takes one run of each"),
        (
            "bandit-rl2",
            {"env": "bandit/10"},
            (),
            "with env bandit/10; the optimum is known for that of its preset, bandit/5",
        ),
        ("bandit-rl2", {"horizon": 20}, (), "with horizon 20"),
        ("mdp-rl2", {"algorithm.episodes": 5}, (), "with algorithm.episodes 5"),
        ("bandit-rl2", {"algorithm": "ppo"}, (), "with algorithm ppo"),
    ],
)
def test_runs_that_are_not_judged(preset, fields, given, words):
    with pytest.raises(ConfigError, match=words):
        optimum._check(with_fields(presets.PRESETS[preset].config, fields), Path("run"), given)


@pytest.mark.slow
def test_measure(monkeypatch, tmp_path):
    """A learner of a few iterations plays as well as its rows say that the others do."""
    for name, preset in list(presets.PRESETS.items()):
        if name in optimum.FIELDS:
            algorithm = dataclasses.replace(preset.config.algorithm, num_tasks=8)
            config = dataclasses.replace(preset.config, iterations=2, algorithm=algorithm)
            monkeypatch.setitem(presets.PRESETS, name, preset._replace(config=config))
    monkeypatch.setattr(optimum, "TASKS", 200)
    monkeypatch.setattr(optimum, "HOURS_ON_CPU", ())
    rows = optimum.measure()
    run = train("bandit-rl2", iterations=3, algorithm__num_tasks=8, run_dir=tmp_path / "run")
    (judged,) = [
        row for row in optimum.measure([run.directory]) if (row["preset"], row["player"]) == ("bandit-rl2", "RL^2")
    ]
    assert "240 steps" in judged["note"] and judged["of_optimum"] == pytest.approx(0.75, abs=0.06)
    by_player = {(row["preset"], row["player"]): row for row in rows}
    assert len(by_player) == len(rows) == 7 + 4
    for preset, share, steps in (("bandit-rl2", 0.75, 160), ("mdp-rl2", 0.46, 1600)):
        assert by_player[preset, "RL^2"]["of_optimum"] == pytest.approx(share, abs=0.06)  # no better than random
        assert f"{steps:,} steps" in by_player[preset, "RL^2"]["note"]
        assert by_player[preset, "optimum"]["of_optimum"] == 1.0
