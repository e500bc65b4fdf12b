"""Who plays Bernoulli bandits with arms from U[0, 1], and what the best of them earns: the Bayes-optimal policy, exactly.

A player chooses from what each arm has given so far: its posterior is Beta(1 + successes, 1 + failures). Of n pulls in a trial,
`pull` (from 0) have been made. Axis letters: B bandits, k arms.
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Counts(NamedTuple):
    """What B players know."""

    successes: np.ndarray  # [B, k]
    failures: np.ndarray  # [B, k]

    @property
    def pulls(self) -> np.ndarray:
        return self.successes + self.failures

    @property
    def mean(self) -> np.ndarray:
        """Of the posterior."""
        return (1 + self.successes) / (2 + self.pulls)


# Counts, pull, generator -> arms' scores [B, k], of which the highest is pulled; equal ones are drawn from.
Player = Callable[[Counts, int, np.random.Generator], np.ndarray]


def play(player: Player, arms: np.ndarray, num_pulls: int, seed: int) -> np.ndarray:
    """Returns `[B]` of one trial of each bandit; `arms` `[B, k]` are their probabilities of success."""
    rng, rows = np.random.default_rng(seed), np.arange(len(arms))
    counts = Counts(np.zeros(arms.shape, int), np.zeros(arms.shape, int))
    for pull in range(num_pulls):
        scores = player(counts, pull, rng)
        best = scores >= scores.max(axis=1, keepdims=True) - 1e-12
        arm = np.argmax(best * rng.uniform(0.5, 1.0, arms.shape), axis=1)
        won = rng.random(len(arms)) < arms[rows, arm]
        counts.successes[rows, arm] += won
        counts.failures[rows, arm] += ~won
    return counts.successes.sum(axis=1).astype(float)


def at_random(counts: Counts, pull: int, rng: np.random.Generator) -> np.ndarray:
    """Any arm."""
    return np.zeros(counts.pulls.shape)


def greedy(counts: Counts, pull: int, rng: np.random.Generator) -> np.ndarray:
    """The arm of the highest posterior mean."""
    return counts.mean


def thompson(counts: Counts, pull: int, rng: np.random.Generator) -> np.ndarray:
    """The best arm of a draw from the posterior (Thompson 1933)."""
    return rng.beta(1 + counts.successes, 1 + counts.failures)


def ucb1(counts: Counts, pull: int, rng: np.random.Generator) -> np.ndarray:
    """Posterior mean + width sqrt(2 log t / pulls) (Auer et al. 2002), the two pulls that the prior stands for counted.

    The width is a tenth of theirs, which explores too much for ten pulls.
    """
    return counts.mean + 0.1 * np.sqrt(2.0 * np.log(pull + 1) / (2 + counts.pulls))


def make_gittins(num_pulls: int) -> Player:
    """The arm of the highest finite-horizon Gittins index, of the pulls that are left (Kaufmann 2018, arXiv:1601.01190)."""
    index = gittins_indices(num_pulls)
    return lambda counts, pull, rng: index[num_pulls - pull, counts.successes, counts.failures]


@functools.cache
def gittins_indices(num_pulls: int, grid: int = 4001) -> np.ndarray:
    """`[n + 1, n, n]`: by pulls left, successes and failures, the price of a pull at which playing on or not is the same.

    An arm that costs `price` a pull, and may be left at any time, is worth max(0, mean - price + its worth then); the index
    is where this is 0, found on a grid of prices. Where they cannot be, entries are 0.
    """
    prices, index = np.linspace(0.0, 1.0, grid), np.zeros((num_pulls + 1, num_pulls, num_pulls))
    after = np.zeros((num_pulls + 1, num_pulls + 1, grid))
    wins, losses = np.indices((num_pulls, num_pulls))
    mean = ((1 + wins) / (2 + wins + losses))[..., None]
    for left in range(1, num_pulls + 1):
        worth = mean - prices + mean * after[1:, :-1] + (1 - mean) * after[:-1, 1:]
        last = np.argmax(worth <= 0.0, axis=-1)[..., None]  # the worth falls with the price
        above, below = (np.take_along_axis(worth, i, axis=-1)[..., 0] for i in (last - 1, last))
        index[left] = prices[last[..., 0] - 1] + prices[1] * above / (above - below)
        after[:-1, :-1] = np.maximum(worth, 0.0)
    return index


class Stage(NamedTuple):
    """All that may be known after some number of pulls, M states."""

    codes: np.ndarray  # [M] int, ascending: what tells the states apart
    values: np.ndarray  # [M, k], expected rewards to come of pulling an arm now, and choosing optimally then


@functools.cache
def bayes_optimum(num_arms: int, num_pulls: int) -> list[Stage]:
    """By pull, what each choice is worth: dynamic programming over all counts (Bellman 1956), C(2k + n - 1, 2k) states."""
    digits = (num_pulls + 1) ** np.arange(2 * num_arms)[::-1]
    win, lose = digits[:num_arms], digits[num_arms:]
    stages: list[Stage] = []
    for pulls in reversed(range(num_pulls)):
        states = _compositions(pulls, 2 * num_arms)
        codes, mean = states @ digits, Counts(*np.split(states, 2, axis=1)).mean
        values = mean
        if stages:
            then = stages[0].values.max(axis=1)
            won, lost = (then[np.searchsorted(stages[0].codes, codes[:, None] + one)] for one in (win, lose))
            values = mean * (1.0 + won) + (1.0 - mean) * lost
        stages.insert(0, Stage(codes, values))
    return stages


def _compositions(total: int, parts: int) -> np.ndarray:
    """All ways to write `total` as a sum of numbers >= 0, `[M, parts]`, in the order of their digits."""
    size = total + parts - 1
    bars = np.array(list(itertools.combinations(range(size), parts - 1)), int).reshape(-1, parts - 1)
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, size)))
    return np.diff(edges, axis=1) - 1


def make_optimal(num_arms: int, num_pulls: int) -> Player:
    """The Bayes-optimal player: no other earns more on average over bandits from the prior."""
    stages = bayes_optimum(num_arms, num_pulls)
    digits = (num_pulls + 1) ** np.arange(2 * num_arms)[::-1]

    def player(counts: Counts, pull: int, rng: np.random.Generator) -> np.ndarray:
        stage = stages[pull]
        return stage.values[np.searchsorted(stage.codes, np.concatenate(counts, axis=1) @ digits)]

    return player


def optimal_value(num_arms: int, num_pulls: int) -> float:
    """Expected reward of a trial played optimally."""
    return float(bayes_optimum(num_arms, num_pulls)[0].values.max())
