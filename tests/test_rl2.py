"""RL^2 and other algorithms whose policies have a memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import evaluation, rollout
from metarl_jax.algorithms import make_algorithm, rl2
from metarl_jax.algorithms.critic import CriticConfig
from metarl_jax.algorithms.ppo_update import PpoUpdateConfig
from metarl_jax.algorithms.rl2 import Rl2Config
from metarl_jax.algorithms.variational import BeliefConfig
from metarl_jax.errors import ConfigError
from metarl_jax.learning import normalize
from metarl_jax.learning.optim import OptimizerConfig
from metarl_jax.networks import MEMORIES, MemoryConfig, NetworkConfig
from metarl_jax.policies import PolicyConfig, make_policy
from metarl_jax.types import EnvSpec, TimeStep

CONFIG = Rl2Config(
    num_tasks=3,
    envs_per_task=2,
    chunk=4,
    gamma=0.9,
    gae_lambda=0.7,
    critic=CriticConfig(NetworkConfig(hidden=(8,)), coef=1.0, reward_scale=0.5),
    update=PpoUpdateConfig(minibatches=3),
)


def trial(env, config, policy_config, seed=0, stats=None):
    """A first iteration up to its update: the model, the state, what was experienced, and what the loss is given.

    `stats`: what has been seen before, nothing where left out.
    """
    algorithm = make_algorithm(config, env, policy_config, 10)
    policy = make_policy(policy_config, env.spec, latent=config.belief.latent)
    model = rl2.make_actor_critic(config, policy, policy_config, env.spec)
    shape = (config.num_tasks, config.envs_per_task)

    @jax.jit
    def go(key):
        state = algorithm.init(key)
        state = state if stats is None else state._replace(obs_stats=stats)
        tasks = rollout.sample_tasks(env, key, shape[0])
        start = rollout.start(env, tasks, key, shape, rollout.no_history(env.spec, shape, policy.init_carry(shape)))
        params = jax.tree.map(lambda x: jnp.stack([x] * shape[0]), algorithm.policy_params(state))
        num_steps = config.episodes * env.spec.horizon
        _, t = rollout.collect(env, algorithm.act(state, params), tasks, start, key, num_steps)
        return state, t, rl2.prepare(config, model, state, t)

    return model, *go(jax.random.key(seed))


@pytest.mark.parametrize(
    ("name", "shared", "latent", "condition"),
    [
        ("gru", False, 0, "input"),
        ("s5", True, 0, "film"),
        ("gru", True, 3, "input"),
        *(pytest.param(name, False, 0, "input", marks=pytest.mark.slow) for name in MEMORIES if name != "gru"),
        pytest.param("gru", False, 3, "generated", marks=pytest.mark.slow),
    ],
)
def test_first_ratios_are_one(make_point, tiny_policy, name, shared, latent, condition):
    """In every minibatch: an end, a carry or a reward in the wrong place would show here."""
    memory = MemoryConfig(name, width=8, state=4, layers=2)
    policy_config = dataclasses.replace(tiny_policy, memory=memory, condition=condition)
    config = dataclasses.replace(CONFIG, shared_memory=shared, belief=BeliefConfig(latent))
    env = make_point(reach=0.8)
    model, state, t, experience = trial(env, config, policy_config)
    assert t.terminated_t.any() and t.last_tm1.any()
    policy = make_policy(policy_config, env.spec, latent=latent)
    for rows in np.arange(6).reshape(3, 2):
        batch, value, _ = rl2.side_by_side(jax.tree.map(lambda x, rows=rows: x[rows], experience))
        said = jax.jit(model.apply)(state.params, batch.context)
        np.testing.assert_allclose(model.critic.value(said.judgement), value, atol=1e-5)
        log_prob = policy.distribution.log_prob(said.dist, batch.action)
        assert log_prob.shape == (4, 8)
        np.testing.assert_allclose(np.exp(log_prob - batch.log_prob), 1.0, atol=1e-5)
        flat = t.action_tm1.reshape(6, 4, 4, 2)[rows]  # trials, chunks, steps
        np.testing.assert_array_equal(batch.action, np.moveaxis(flat, 2, 0).reshape(4, 8, 2))


def test_targets_against_numpy(make_point, tiny_policy):
    """Values go on through the ends of episodes and end with the trial: nothing that follows it counts."""
    policy_config = dataclasses.replace(tiny_policy, memory=MemoryConfig("gru", width=8), normalize_obs=True)
    env = make_point(reach=0.8)
    past = np.random.default_rng(0).normal([0.3, -0.2, -1.0], [0.5, 0.7, 0.6], size=(50, 3))  # observations, reward
    model, state, t, (steps, *_) = trial(env, CONFIG, policy_config, stats=normalize.of_batch(jnp.asarray(past)))
    t = jax.tree.map(lambda x: np.asarray(x).reshape(6, 16, *x.shape[3:]), t)
    seen = np.concatenate([t.obs_tm1, t.reward_tm1[..., None], t.action_tm2, t.last_tm1[..., None]], axis=-1)
    seen[..., :3] = (seen[..., :3] - past.mean(axis=0)) / past.std(axis=0)
    context = rl2.Sequence(jnp.asarray(np.swapaxes(seen, 0, 1)), model.init_carry((6,)))
    value = np.append(
        np.asarray(model.apply(state.params, context).judgement[..., 0], np.float64).T, np.zeros((6, 1)), axis=1
    )
    advantage, ahead = np.zeros((6, 16)), np.zeros(6)
    for i in reversed(range(16)):
        ahead = 0.5 * t.reward_t[:, i] + 0.9 * value[:, i + 1] - value[:, i] + 0.9 * 0.7 * ahead
        advantage[:, i] = ahead
    np.testing.assert_allclose(steps.advantage.reshape(6, 16), advantage, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(steps.target.reshape(6, 16), advantage + value[:, :-1], rtol=1e-4, atol=1e-5)


class Sides:
    """Nothing is seen; the reward is the action times a hidden sign, which only the reward before can tell."""

    tasks = jnp.array([-1.0, 1.0])
    spec = EnvSpec("sides", 1, 1, 5, (-1.0,), (1.0,))

    def sample_task(self, key):
        return jax.random.choice(key, self.tasks)

    def reset(self, key, task):
        return (), TimeStep(jnp.zeros(1), jnp.zeros(()), jnp.array(False))

    def step(self, state, action, task):
        return state, TimeStep(jnp.zeros(1), task * action[0], jnp.array(False))


@pytest.fixture(scope="module")
def sides():
    """A trained policy."""
    config = Rl2Config(
        num_tasks=32,
        envs_per_task=2,
        chunk=5,
        critic=CriticConfig(NetworkConfig(hidden=(16,)), coef=1.0),
        optimizer=OptimizerConfig(lr=3e-3),
    )
    memory = MemoryConfig("gru", width=16)
    policy = PolicyConfig(memory=memory, network=NetworkConfig(hidden=(16,)), init_log_std=-0.5)
    algorithm = make_algorithm(config, Sides(), policy, 40)

    @jax.jit
    def train(state):
        return jax.lax.fori_loop(
            0, 40, lambda i, s: algorithm.iterate(s, jax.random.fold_in(jax.random.key(1), i))[0], state
        )

    return algorithm, train(algorithm.init(jax.random.key(0)))


def test_memory_learns_to_adapt(sides):
    """After the first reward the sign is known: the second episode is worth nearly 5, without memory 0."""
    algorithm, state = sides
    metrics = jax.jit(algorithm.iterate)(state, jax.random.key(9))[1]
    assert metrics["return_after"] > 4.0 > metrics["return_before"] > 2.0


def test_memory_outlives_the_rounds_of_an_evaluation(sides):
    algorithm, state = sides
    evaluate = jax.jit(lambda key: evaluation.adaptation_curve(algorithm, Sides(), state, key, (8, 4), 2))
    first, second, third = np.asarray(evaluate(jax.random.key(3)).returns).mean(axis=1)
    assert first < 4.0 < min(second, third)
    run = jax.jit(lambda key: evaluation.adaptation(algorithm, Sides(), state, jnp.ones(2), key, (2, 3), 1))
    _, history, _ = run(jax.random.key(4))
    assert not any(np.asarray(x[0]).any() for x in jax.tree.leaves(history))
    assert history.last[1].all() and np.abs(history.carry[0][1]).min() > 0


@pytest.mark.slow
def test_memory_within_maml(make_point, tiny_algorithms, tiny_policy):
    """Inner steps over recurrent rollouts: ratios are 1 at first, every round begins with an empty memory."""
    policy = dataclasses.replace(tiny_policy, memory=MemoryConfig("lru", width=8, state=4))
    algorithm = make_algorithm(tiny_algorithms["maml-ppo"], make_point(), policy, 10)
    first = algorithm.init(jax.random.key(0))
    state, metrics = jax.jit(algorithm.iterate)(first, jax.random.key(1))
    assert metrics["first_ratio_error"] < 1e-5 and metrics["inner_grad_norm"] > 0
    for path, before in jax.tree_util.tree_leaves_with_path(first.params["policy"]["memory"]):
        after = state.params["policy"]["memory"]
        for key in path:
            after = after[key.key]
        assert np.isfinite(after).all()
        assert (np.asarray(after) != np.asarray(before)).any(), path
    assert not algorithm.keeps_history


@pytest.mark.parametrize(
    ("config", "memory", "message"),
    [
        (CONFIG, "none", "rl2 adapts by memory: set policy.memory.name to one of s5, "),
        (dataclasses.replace(CONFIG, chunk=5), "gru", "chunk can be 4"),
        (CONFIG, "gruu", "did you mean 'gru'"),
        ("ppo", "gru", "use --algorithm rl2"),
    ],
)
def test_bad_configurations(make_point, tiny_policy, tiny_algorithms, config, memory, message):
    policy = dataclasses.replace(tiny_policy, memory=MemoryConfig(memory))
    config = tiny_algorithms["ppo"] if config == "ppo" else config
    with pytest.raises(ConfigError, match=message):
        make_algorithm(config, make_point(), policy, 1)
