"""The same outer update in less memory: tasks in chunks, inner steps computed twice."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.algorithms import make_algorithm
from metarl_jax.algorithms.inner_loop import InnerLoop, InnerLoopConfig
from metarl_jax.algorithms.maml_ppo import MamlPpoConfig, meta_loss
from metarl_jax.algorithms.maml_trpo import MamlTrpoConfig
from metarl_jax.algorithms.meta_learner import default_task_chunks
from metarl_jax.algorithms.ppo_update import PpoUpdateConfig, Weights, mean_gradient
from metarl_jax.algorithms.reptile import ReptileConfig
from metarl_jax.errors import ConfigError
from metarl_jax.learning import normalize
from metarl_jax.networks import NetworkConfig
from metarl_jax.policies import make_policy

# Every term of the loss is on, so that none can be left out of a chunk.
CONFIG = MamlPpoConfig(
    num_tasks=16,
    envs_per_task=8,
    inner=InnerLoopConfig(learn_lr=True),
    inner_kl_coef=0.1,
    update=PpoUpdateConfig(epochs=2, entropy_coef=0.01, kl_coef=0.1),
)


@pytest.fixture(scope="module")
def update(make_point, tiny_policy):
    """Changes of CONFIG -> policy after an iteration, its metrics, bytes of temporary memory; always the same experience."""
    env = make_point(horizon=32)
    policy = dataclasses.replace(tiny_policy, network=NetworkConfig(hidden=(32, 32)))

    @functools.cache
    def run(**changes):
        algorithm = make_algorithm(dataclasses.replace(CONFIG, **changes), env, policy, 10)
        state, key = algorithm.init(jax.random.key(0)), jax.random.key(1)
        program = jax.jit(algorithm.iterate).lower(state, key).compile()
        after, metrics = program(state, key)
        return after.params, metrics, program.memory_analysis().temp_size_in_bytes

    return run


@pytest.mark.parametrize("chunks", [1, 2, 3, 6])
def test_gradient_of_chunks_in_closed_form(chunks):
    """The mean of (w - c)^2 / 2 over the rows' numbers c has gradient w - mean(c)."""
    c = np.random.default_rng(0).normal(size=6)

    def loss(params, x, weights):
        parts = {"kl": x.mean(), "ratio_error": x.max()}
        return weights.kl * jnp.mean((params["w"] - x) ** 2) / 2.0, parts

    weights = Weights(jnp.zeros(()), jnp.array(3.0))
    gradient = jax.jit(mean_gradient, static_argnums=(0, 4))
    grads, metrics = gradient(loss, {"w": jnp.array(0.7)}, jnp.asarray(c), weights, chunks)
    np.testing.assert_allclose(grads["w"], 3.0 * (0.7 - c.mean()), rtol=1e-5)
    expected = {"loss": 1.5 * np.mean((0.7 - c) ** 2), "kl": c.mean(), "ratio_error": c.max()}
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(("chunks", "share"), [pytest.param(2, 0.6, marks=pytest.mark.slow), (4, 0.4)])
def test_chunks_change_nothing_but_memory(update, chunks, share):
    whole, metrics, memory = update(task_chunks=1)
    params, chunk_metrics, chunk_memory = update(task_chunks=chunks)
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())
    for name, value in metrics.items():
        np.testing.assert_allclose(chunk_metrics[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert chunk_memory < share * memory


@pytest.mark.parametrize(
    ("tasks", "devices", "chunks"),
    [(1, 1, 1), (4, 1, 1), (20, 1, 5), (7, 1, 7), (30, 1, 10), (256, 1, 64), (24, 2, 3), (20, 8, 5)],
)
def test_chunks_of_at_most_four_tasks_per_device_by_default(tasks, devices, chunks):
    """On CPU, where tests run."""
    assert default_task_chunks(tasks, devices) == chunks


def test_rematerialised_inner_steps_take_less_memory(make_point, tiny_policy):
    """Of the meta-gradient through three steps, whose values test_adaptation.py compares."""
    env = make_point(horizon=32)

    def temporary(remat):
        config = dataclasses.replace(CONFIG, inner=InnerLoopConfig(steps=3, remat=remat))
        inner = InnerLoop(config.inner, env, make_policy(tiny_policy, env.spec), first_order=False)
        meta, tasks, weights = inner.init(jax.random.key(0)), jnp.ones((16, 2)), Weights(jnp.ones(()), jnp.ones(()))
        trial = jax.eval_shape(lambda m: inner.run_trial(m, normalize.init(2), tasks, jax.random.key(1), (16, 8)), meta)
        gradient = jax.jit(jax.grad(lambda m, s, q: meta_loss(m, inner, config, s, q, weights)[0]))
        return gradient.lower(meta, trial.support, trial.query).compile().memory_analysis().temp_size_in_bytes

    assert temporary(True) < 0.7 * temporary(False)


@pytest.mark.parametrize(
    ("cls", "bad", "message"),
    [
        (MamlPpoConfig, {"task_chunks": 0}, "task_chunks must be at least 1"),
        (MamlPpoConfig, {"task_chunks": 3}, "minibatches of 20 tasks .* task_chunks can be 2 or 4"),
        (MamlPpoConfig, {"task_chunks": 4, "update": PpoUpdateConfig(minibatches=2)}, "task_chunks can be 2 or 5"),
        (MamlPpoConfig, {"task_chunks": 21}, "task_chunks can be 20"),
        (MamlPpoConfig, {"first_order": True, "inner": InnerLoopConfig(remat=True)}, "set inner.remat to False"),
        (MamlTrpoConfig, {"task_chunks": 0}, "task_chunks must be at least 1"),
        (MamlTrpoConfig, {"task_chunks": 3}, "iterations of 20 tasks .* task_chunks can be 2 or 4"),
        (MamlTrpoConfig, {"first_order": True, "inner": InnerLoopConfig(remat=True)}, "set inner.remat to False"),
        (ReptileConfig, {"inner": InnerLoopConfig(remat=True)}, "set inner.remat to False"),
    ],
)
def test_bad_values(cls, bad, message):
    with pytest.raises(ConfigError, match=message):
        cls(**bad)
