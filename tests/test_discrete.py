"""Discrete actions, from the draw to the memory, and what every algorithm makes of them."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.algorithms import make_algorithm
from metarl_jax.errors import ConfigError
from metarl_jax.networks import MemoryConfig, NetworkConfig
from metarl_jax.policies import PolicyConfig, input_size, make_act, make_judged_act, make_policy, memory_inputs
from metarl_jax.types import EnvSpec, TimeStep

POLICY = PolicyConfig(network=NetworkConfig(hidden=(8,)), distribution="categorical")
REMEMBERING = dataclasses.replace(POLICY, memory=MemoryConfig("gru", width=8))


class Echo:
    """Pays where the action is the task, one of 3, and shows the action; its reward is nan where that is no action."""

    tasks = None
    spec = EnvSpec("echo", 1, 3, 8, (), (), discrete=True)

    def sample_task(self, key):
        return jax.random.randint(key, (), 0, 3)

    def reset(self, key, task):
        return jnp.zeros(()), TimeStep(jnp.zeros(1), jnp.zeros(()), jnp.array(False))

    def step(self, state, action, task):
        assert action.shape == () and jnp.issubdtype(action.dtype, jnp.integer)
        reward = jnp.where((action >= 0) & (action < 3), (action == task).astype(float), jnp.nan)
        return state, TimeStep(action[None].astype(float), reward, jnp.array(False))


def test_a_rollout():
    """Draws are one-hot; the environment gets their index, a memory sees them with what they earned."""
    env, shape, tasks = Echo(), (4, 5), jnp.array([0, 1, 2, 2])
    policy = make_policy(REMEMBERING, env.spec)

    @jax.jit
    def go(key, tasks):
        history = rollout.no_history(env.spec, shape, policy.init_carry(shape))
        start = rollout.start(env, tasks, key, shape, history)
        act = make_act(policy, policy.init_stats(), policy.init(key), None)
        return rollout.collect(env, act, tasks, start, key, 16)[1]

    t = go(jax.random.key(0), tasks)
    action = np.asarray(t.action_tm1)
    assert action.shape == (4, 5, 16, 3) and set(np.unique(action)) == {0.0, 1.0} and (action.sum(axis=-1) == 1).all()
    np.testing.assert_array_equal(t.obs_t[..., 0], action.argmax(axis=-1))
    np.testing.assert_array_equal(t.reward_t, action.argmax(axis=-1) == np.asarray(tasks)[:, None, None])
    np.testing.assert_array_equal(t.action_tm2[..., 1:, :], action[..., :-1, :])
    assert not t.action_tm2[..., 0, :].any()
    logits = np.asarray(t.dist_tm1.logits, np.float64)
    expected = (logits * action).sum(axis=-1) - np.log(np.exp(logits).sum(axis=-1))
    np.testing.assert_allclose(t.log_prob_tm1, expected, rtol=1e-5)
    seen = memory_inputs(policy.init_stats(), t.obs_tm1, t.action_tm2, t.reward_tm1, t.last_tm1)
    assert seen.shape[-1] == input_size(env.spec) == 1 + 3 + 2


def test_the_most_likely_action():
    env = Echo()
    policy = make_policy(POLICY, env.spec)
    params = jax.tree.map(lambda x: 300.0 * x, policy.init(jax.random.key(0)))
    drawn = make_act(policy, policy.init_stats(), params, None)
    obs, history = jax.random.normal(jax.random.key(1), (4, 50, 1)), rollout.no_history(env.spec, (4, 50))
    _, mode = make_judged_act("mode", POLICY, env.spec)(drawn)(obs, history, jax.random.key(2))
    np.testing.assert_array_equal(mode.action, np.argmax(mode.dist.logits, axis=-1))
    np.testing.assert_array_equal(mode.raw, np.eye(3)[mode.action])
    np.testing.assert_allclose(mode.log_prob, jax.nn.log_softmax(mode.dist.logits).max(axis=-1), rtol=1e-5)
    assert len(np.unique(mode.action)) > 1


@pytest.mark.parametrize(
    "name",
    [
        "maml-ppo",
        "rl2",
        "ppo",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("fomaml", "promp", "reptile")),
    ],
)
def test_algorithms(name, tiny_algorithms):
    algorithm = make_algorithm(tiny_algorithms[name], Echo(), REMEMBERING if name == "rl2" else POLICY, 10)
    first = jax.jit(algorithm.init)(jax.random.key(0))
    state, metrics = jax.jit(algorithm.iterate)(first, jax.random.key(1))
    finite = {name for name, value in metrics.items() if np.isfinite(value)}
    assert set(metrics) == finite and not any(name.startswith("action_") for name in metrics)
    assert 0.0 <= metrics["return_after"] <= 8.0
    assert 0.9 * np.log(3) < metrics["entropy"] <= np.log(3) + 1e-6
    if name != "reptile":
        assert metrics["first_ratio_error"] < 1e-5
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), first.params, state.params)
    assert all(jax.tree.leaves(moved["policy"]["logits"]["params"]))


CONTINUOUS = EnvSpec("smooth", 1, 1, 8, (-1.0,), (1.0,))


@pytest.mark.parametrize(
    ("name", "spec", "distribution", "words"),
    [
        ("ppo", Echo.spec, "gaussian", "'echo', whose actions are discrete: set policy.distribution to 'categorical'"),
        (
            "ppo",
            CONTINUOUS,
            "categorical",
            "'smooth', whose actions are numbers: set policy.distribution to 'gaussian'",
        ),
        ("sac", Echo.spec, "tanh-gaussian", "sac needs continuous actions"),
        ("pearl", Echo.spec, "categorical", "pearl needs continuous actions"),
        ("sac", CONTINUOUS, "categorical", "set policy.distribution to tanh-gaussian"),
    ],
)
def test_what_does_not_go_together(name, spec, distribution, words, tiny_algorithms, monkeypatch):
    monkeypatch.setattr(Echo, "spec", spec)
    with pytest.raises(ConfigError, match=re.escape(words)):
        make_algorithm(
            tiny_algorithms[name], Echo(), dataclasses.replace(POLICY, distribution=distribution, state_std=True), 10
        )
