"""Who plays random tabular MDPs (envs/mdps.py) for several episodes: posterior sampling, and whoever knows the MDP.

Axis letters: B MDPs, S states, A actions, H steps of an episode. Mean rewards are from N(1, 1), their noise is N(0, 1), rows of
transitions are from a flat Dirichlet distribution; every episode begins in state 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Mdps(NamedTuple):
    """B of them."""

    transition: np.ndarray  # [B, S, A, S]
    reward: np.ndarray  # [B, S, A], means


class Seen(NamedTuple):
    """What B players have experienced."""

    visits: np.ndarray  # [B, S, A, S]: how often each state has followed
    rewards: np.ndarray  # [B, S, A], sums


# What was seen, generator -> actions of an episode [B, H, S].
Planner = Callable[[Seen, np.random.Generator], np.ndarray]


def play(planner: Planner, mdps: Mdps, horizon: int, episodes: int, seed: int) -> np.ndarray:
    """Returns `[B, episodes]` of players that plan at the beginning of each episode."""
    rng, rows = np.random.default_rng(seed), np.arange(len(mdps.reward))
    seen = Seen(np.zeros(mdps.transition.shape), np.zeros(mdps.reward.shape))
    edges = mdps.transition.cumsum(axis=-1)[..., :-1]
    returns = np.zeros((len(rows), episodes))
    for episode in range(episodes):
        actions, state = planner(seen, rng), np.zeros(len(rows), int)
        for step in range(horizon):
            at = rows, state, actions[rows, step, state]
            reward = mdps.reward[at] + rng.standard_normal(len(rows))
            state = (rng.random((len(rows), 1)) > edges[at]).sum(axis=-1)
            seen.visits[(*at, state)] += 1
            seen.rewards[at] += reward
            returns[:, episode] += reward
    return returns


def plan(mdps: Mdps, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """The best actions of MDPs that are known, `[B, H, S]`, and what they earn from each state, `[B, S]`: value iteration."""
    value, actions = np.zeros(mdps.reward.shape[:2]), []
    for _ in range(horizon):
        of_action = mdps.reward + np.einsum("bsat,bt->bsa", mdps.transition, value)
        actions.insert(0, of_action.argmax(axis=-1))
        value = of_action.max(axis=-1)
    return np.stack(actions, axis=1), value


def make_random(num_actions: int, horizon: int) -> Planner:
    """Any action."""
    return lambda seen, rng: rng.integers(num_actions, size=(len(seen.rewards), horizon, seen.rewards.shape[1]))


def make_knowing(mdps: Mdps, horizon: int) -> Planner:
    """The best policy for the MDP at hand, which nobody who must learn it can reach."""
    actions, _ = plan(mdps, horizon)
    return lambda seen, rng: actions


def make_psrl(horizon: int) -> Planner:
    """Posterior sampling: the best policy for an MDP drawn from what is known (Osband et al. 2013, arXiv:1306.0940)."""
    return lambda seen, rng: plan(draw(seen, rng), horizon)[0]


def draw(seen: Seen, rng: np.random.Generator) -> Mdps:
    """One MDP from each posterior: Dirichlet(1 + visits), and of n rewards with the sum r, N(r / (1 + n), 1 / (1 + n)).

    Means are thought to be from N(0, 1), as the published figures have it (arXiv:1611.02779, table 2): in ten episodes these earn
    more than draws from the true posterior, which explore longer.
    """
    weights = rng.standard_gamma(1.0 + seen.visits)
    precision = 1.0 + seen.visits.sum(axis=-1)
    mean = seen.rewards / precision
    reward = mean + rng.standard_normal(mean.shape) / np.sqrt(precision)
    return Mdps(weights / weights.sum(axis=-1, keepdims=True), reward)
