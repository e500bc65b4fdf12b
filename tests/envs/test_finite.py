"""Families that have finitely many tasks: which these are, and that a batch holds all of them equally often."""

import jax
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.envs import make

DIRECTIONS = [[-1.0], [1.0]]
CORNERS = [[-2.0, -2.0], [-2.0, 2.0], [2.0, -2.0], [2.0, 2.0]]
FINITE = {
    "cheetah-dir": DIRECTIONS,
    "cheetah-dir/pearl": DIRECTIONS,
    "cheetah-dir/promp": DIRECTIONS,
    "ant-dir/varibad": DIRECTIONS,
    "point/promp": CORNERS,
    "point-sparse/promp": CORNERS,
    "recall": [[-1.0, 200.0], [1.0, 200.0]],
    "halfcheetah-v5": [[0.0]],
}


def rows(tasks):
    """Tasks as `[M, size]`."""
    leaves = [np.asarray(x, float) for x in jax.tree.leaves(tasks)]
    return np.concatenate([x.reshape(len(x), -1) for x in leaves], axis=1)


@pytest.mark.parametrize("name", FINITE)
@pytest.mark.parametrize("split", ["train", "test"])
def test_tasks_of_finite_families(name, split):
    assert sorted(rows(make(name, split=split).tasks).tolist()) == FINITE[name]


@pytest.mark.parametrize("name", FINITE)
def test_batches_are_balanced(name):
    """No coin tosses: of 40 tasks each of the family's M comes 40 / M times, and an odd batch is off by one at most."""
    env = make(name)
    for count in (40, 7):
        drawn = rows(rollout.sample_tasks(env, jax.random.key(count), count))
        _, times = np.unique(drawn, axis=0, return_counts=True)
        assert len(times) == min(count, len(FINITE[name])) and times.max() - times.min() <= (count == 7)


def test_single_draws_are_even():
    drawn = np.asarray(jax.vmap(make("cheetah-dir").sample_task)(jax.random.split(jax.random.key(0), 2000)))
    assert abs(drawn.mean()) < 0.1
