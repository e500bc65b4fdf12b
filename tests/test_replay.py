"""Rings of experience, against lists that forget their first elements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import replay
from metarl_jax.algorithms import make_algorithm
from metarl_jax.algorithms.q_critic import QCriticConfig
from metarl_jax.algorithms.sac import SacConfig
from metarl_jax.networks import NetworkConfig
from metarl_jax.policies import PolicyConfig
from metarl_jax.runs.window import make_window

N, CAPACITY, BLOCK = 3, 12, 4
ROW = {"obs": jnp.zeros(2), "count": jnp.zeros((), int)}


def blocks(rounds):
    """Rows `[N, BLOCK, ...]`, all different: `count` numbers them, and `obs` follows from it."""
    count = np.arange(rounds * N * BLOCK).reshape(rounds, N, BLOCK)
    return [{"obs": jnp.asarray(np.stack([c, -c], -1), jnp.float32), "count": jnp.asarray(c)} for c in count]


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 7])
def test_the_oldest_are_overwritten(rounds):
    rings, lists = replay.init(ROW, N, CAPACITY), [[] for _ in range(N)]
    add = jax.jit(replay.add)
    for rows in blocks(rounds):
        rings = add(rings, rows)
        for task, kept in enumerate(lists):
            kept.extend(np.asarray(rows["count"][task]).tolist())
            del kept[:-CAPACITY]
    np.testing.assert_array_equal(rings.filled, [len(kept) for kept in lists])
    for task, kept in enumerate(lists):
        there = np.asarray(rings.rows["count"][task, : len(kept)])
        assert sorted(there.tolist()) == kept
        np.testing.assert_array_equal(rings.rows["obs"][task, : len(kept), 1], -there)


@pytest.mark.parametrize("rounds", [2, 5])
def test_all_that_is_there_is_drawn_equally_often(rounds):
    """5000 draws of each of n rows: the counts' chi-squared has mean n - 1 and variance 2 (n - 1)."""
    rings = replay.init(ROW, N, CAPACITY)
    for rows in blocks(rounds):
        rings = replay.add(rings, rows)
    drawn = jax.jit(lambda key: replay.sample(rings, key, 5000 * CAPACITY))(jax.random.key(0))
    filled = min(rounds * BLOCK, CAPACITY)
    for task in range(N):
        values, counts = np.unique(drawn["count"][task], return_counts=True)
        np.testing.assert_array_equal(values, np.sort(rings.rows["count"][task, :filled]))
        expected = 5000 * CAPACITY / filled
        assert ((counts - expected) ** 2 / expected).sum() < filled - 1 + 5 * np.sqrt(2 * (filled - 1))
    np.testing.assert_array_equal(drawn["obs"][..., 0], drawn["count"])


def test_some_tasks_are_drawn_from():
    """One of each group, each as often; rows are those of the task that is named."""
    rings = replay.init({"task": jnp.zeros((), int)}, 6, 4)
    rings = replay.add(rings, {"task": jnp.broadcast_to(jnp.arange(6)[:, None], (6, 4))})

    def draw(key):
        which, task = replay.choose(key, 6, 2)
        return task, replay.sample(rings, key, 5, which)["task"]

    tasks, rows = jax.vmap(draw)(jax.random.split(jax.random.key(0), 3000))
    np.testing.assert_array_equal(rows, np.broadcast_to(tasks[..., None], rows.shape))
    counts = np.bincount(np.asarray(tasks).ravel(), minlength=6)
    assert ((counts - 1000) ** 2 / 1000).sum() < 4 + 5 * np.sqrt(2 * 4)
    assert (tasks[:, 0] < 3).all() and (tasks[:, 1] >= 3).all()


def test_blocks_must_fill_a_ring():
    with pytest.raises(ValueError, match="10 slots cannot be written 4 at a time"):
        replay.add(replay.init(ROW, N, 10), blocks(1)[0])


def test_a_window_never_copies_the_replay(make_point):
    """What it needs beside its donated state is little beside the replay."""
    tiny = NetworkConfig(hidden=(8,))
    config = SacConfig(
        num_tasks=4, envs_per_task=2, capacity=4_000_000, batch_size=8, critic=QCriticConfig(network=tiny)
    )
    policy = PolicyConfig(network=tiny, distribution="tanh-gaussian", state_std=True)
    algorithm = make_algorithm(config, make_point(), policy, 10)
    state = jax.eval_shape(algorithm.init, jax.random.key(0))
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state.kept.by_task.replay))
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), state)
    window = jax.jit(make_window(algorithm, 5), donate_argnums=0)
    memory = window.lower(states, jax.random.split(jax.random.key(0), 1), 1).compile().memory_analysis()
    assert size > 4_000_000 * 8 * 4
    assert memory.alias_size_in_bytes >= size
    assert memory.argument_size_in_bytes + memory.temp_size_in_bytes < 1.3 * size
