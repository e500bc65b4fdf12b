"""PEARL: its beliefs and losses against NumPy in double precision, and what it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from metarl_jax import evaluation, rollout
from metarl_jax.algorithms import belief as beliefs
from metarl_jax.algorithms import make_algorithm, pearl
from metarl_jax.algorithms.off_policy import Experience
from metarl_jax.algorithms.pearl import PearlConfig
from metarl_jax.algorithms.q_critic import QCriticConfig
from metarl_jax.algorithms.soft import make_loss
from metarl_jax.envs import make
from metarl_jax.errors import ConfigError
from metarl_jax.learning import normalize
from metarl_jax.learning.optim import OptimizerConfig
from metarl_jax.networks import NetworkConfig
from metarl_jax.policies import PolicyConfig
from metarl_jax.types import Kept, RunState

TINY = NetworkConfig(hidden=(6,), activation="relu")
POLICY = PolicyConfig(TINY, distribution="tanh-gaussian", state_std=True, init_log_std=-0.5)


def numpy_network(params, x):
    first, last = params["params"]["Dense_0"], params["params"]["Dense_1"]
    return np.maximum(x @ np.asarray(first["kernel"]) + first["bias"], 0.0) @ np.asarray(last["kernel"]) + last["bias"]


def numpy_posterior(params, evidence):
    """Mean and variance of the product of the prior N(0, 1) and a factor for each row of evidence `[C, in_dim]`."""
    mean, scale = np.split(np.asarray(numpy_network(params, evidence)), 2, axis=-1)
    variance = np.maximum(np.log1p(np.exp(scale)), 1e-7)
    precision = 1.0 + (1.0 / variance).sum(axis=0)
    return (mean / variance).sum(axis=0) / precision, 1.0 / precision


@pytest.fixture
def encoder(x64):
    encoder = beliefs.make_encoder(TINY, 4, 3, "float32")
    return encoder, encoder.init(jax.random.key(0))


def test_posterior(encoder):
    """A product of Gaussians, in any order, and in parts as well as at once."""
    encoder, params = encoder
    evidence = np.random.default_rng(0).normal(size=(2, 5, 4))
    belief = encoder.apply(params, jnp.asarray(evidence)).add(beliefs.prior(3))
    for task in range(2):
        mean, variance = numpy_posterior(params, evidence[task])
        np.testing.assert_allclose(belief.mean[task], mean, rtol=1e-9)
        np.testing.assert_allclose(belief.std[task] ** 2, variance, rtol=1e-9)
    shuffled = encoder.apply(params, jnp.asarray(evidence[:, ::-1])).add(beliefs.prior(3))
    np.testing.assert_allclose(shuffled.mean, belief.mean, rtol=1e-9)
    parts = [encoder.apply(params, jnp.asarray(part)) for part in (evidence[:, :2], evidence[:, 2:])]
    np.testing.assert_allclose(parts[0].add(parts[1]).add(beliefs.prior(3)).mean, belief.mean, rtol=1e-9)


def test_kl(x64):
    """Against the integral of q log(q / p), by a fine grid."""
    rng = np.random.default_rng(1)
    mean, std = rng.normal(size=3), np.exp(0.5 * rng.normal(size=3))
    belief = beliefs.Belief(jnp.asarray(std**-2.0), jnp.asarray(mean / std**2))
    grid = np.linspace(-12.0, 12.0, 200_001)
    q, p = scipy.stats.norm(mean[:, None], std[:, None]), scipy.stats.norm()
    integrand = q.pdf(grid) * (q.logpdf(grid) - p.logpdf(grid))
    np.testing.assert_allclose(beliefs.kl_to_prior(belief), np.trapezoid(integrand, grid, axis=1).sum(), rtol=1e-8)
    assert beliefs.kl_to_prior(beliefs.prior(3)) == 0.0


def test_draws():
    belief = beliefs.Belief(jnp.array([4.0, 0.25]), jnp.array([4.0, -0.5]))
    draws = np.asarray(beliefs.sample(belief, jax.random.key(0), (20_000,)))
    errors = (draws.mean(axis=0) - [1.0, -2.0]) / ([0.5, 2.0] / np.sqrt(20_000))
    assert np.abs(errors).max() < 5.0
    np.testing.assert_allclose(draws.std(axis=0), [0.5, 2.0], rtol=0.03)


def make_parts(env, **changes):
    """A configuration, and the parts of its algorithm that the loss is made of, with a learner and rows of two tasks."""
    config = PearlConfig(
        num_tasks=4,
        meta_batch=2,
        latent=3,
        encoder=TINY,
        critic=QCriticConfig(TINY),
        **changes,
    )
    algorithm = make_algorithm(config, env, POLICY, 1)
    state = algorithm.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: jnp.asarray(x + 0.2 * rng.normal(size=x.shape)), state.params)
    stats = normalize.of_batch(jnp.asarray(rng.normal(size=(50, 2))))
    learner = RunState(jnp.zeros((), int), params, (), stats, jnp.ones(()), Kept(params["critic"]))

    def rows(size):
        obs, next_obs = rng.normal(size=(2, size, 2)), rng.normal(size=(2, size, 2))
        action, reward = np.tanh(rng.normal(size=(2, size, 2))), rng.normal(size=(2, size))
        return jax.tree.map(jnp.asarray, Experience(obs, action, reward, np.full((2, size), 0.9), next_obs))

    return config, learner, rows(5), rows(4)


def softless(learner_params, learner, batch, key):
    """In place of the actor-critic's loss: something that says what it was given."""
    return jnp.zeros(()), {"obs": batch.experience.obs, "reward": batch.experience.reward, "task": batch.task}


@pytest.mark.parametrize("next_obs", [False, True])
def test_what_actor_and_critics_are_told(make_point, x64, next_obs):
    """Observations and a draw from the belief that the task's context makes; the KL is what the ELBO adds."""
    config, learner, rows, context = make_parts(make_point(), next_obs=next_obs)
    size = 2 * (1 + next_obs) + 2 + 1
    encoder = beliefs.make_encoder(TINY, size, 3, "float32")
    elbo = pearl.make_elbo(config, encoder, softless)
    params = learner.params
    key = jax.random.key(3)
    value, told = elbo(params, learner, jnp.array([1, 3]), rows, context, key)
    std = np.sqrt(np.asarray(learner.obs_stats.sum_square) / 50 + 1e-8)

    def standardise(obs):
        return (np.asarray(obs) - np.asarray(learner.obs_stats.mean)) / std

    noise = np.asarray(jax.random.normal(jax.random.split(key)[0], (2, 3)))
    kl = 0.0
    for task in range(2):
        evidence = [
            standardise(context.obs[task]),
            context.action[task],
            5.0 * np.asarray(context.reward[task])[:, None],
        ]
        evidence += [standardise(context.next_obs[task])] * next_obs
        mean, variance = numpy_posterior(params["encoder"], np.concatenate(evidence, axis=1))
        expected = mean + np.sqrt(variance) * noise[task]
        ours = np.asarray(told["obs"]).reshape(2, 5, 5)[task]
        np.testing.assert_allclose(ours[:, :2], standardise(rows.obs[task]), rtol=1e-6)
        np.testing.assert_allclose(ours[:, 2:], np.tile(expected, (5, 1)), rtol=1e-6)
        kl += 0.5 * np.sum(variance + mean**2 - 1.0 - np.log(variance))
    np.testing.assert_allclose(value, 0.1 * kl, rtol=1e-6)
    np.testing.assert_array_equal(told["task"], [1] * 5 + [3] * 5)
    np.testing.assert_allclose(told["reward"], 5.0 * np.asarray(rows.reward).ravel(), rtol=1e-6)


def test_who_trains_the_encoder(make_point, x64):
    """Critics and the KL; nothing of the policy's loss reaches it, though the policy is told the same draw."""
    env = make_point()
    config, learner, rows, context = make_parts(env)
    encoder = beliefs.make_encoder(TINY, 5, 3, "float32")
    _, critic, soft = pearl.make_actor_critic(config, env, POLICY)
    losses = {
        "all": make_loss(critic, soft),
        "critics alone": lambda moving, *args: make_loss(critic, soft)({"critic": moving["critic"]}, *args),
    }
    grads = {}
    for name, loss in losses.items():
        elbo = pearl.make_elbo(config, encoder, loss)
        grads[name] = jax.grad(lambda p, f=elbo: f(p, learner, jnp.array([0, 2]), rows, context, jax.random.key(1))[0])(
            learner.params
        )["encoder"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), *grads.values())
    assert min(float(np.abs(x).max()) for x in jax.tree.leaves(grads["all"])) > 1e-6


def test_a_latent_for_each_episode(make_point, tiny_algorithms, policy_for):
    """Drawn at an episode's start, and kept to its end, in every environment of its own."""
    env = make_point(horizon=4)
    algorithm = make_algorithm(tiny_algorithms["pearl"], env, policy_for("pearl"), 1)
    state, shape = algorithm.init(jax.random.key(0)), (3, 2)
    belief = jax.tree.map(lambda x: jnp.broadcast_to(x, (3, *x.shape)), algorithm.policy_params(state))
    tasks = rollout.sample_tasks(env, jax.random.key(1), 3)
    history = rollout.no_history(env.spec, shape, algorithm.init_carry(shape))
    standing = rollout.start(env, tasks, jax.random.key(2), shape, history)
    latents = []
    for i in range(8):
        standing, _ = rollout.collect(env, algorithm.act(state, belief), tasks, standing, jax.random.key(i), 1)
        latents.append(np.asarray(standing.history.carry.latent))
    latents = np.stack(latents)
    for first in (0, 4):
        assert (latents[first : first + 4] == latents[first]).all()
    both = latents[[0, 4]].reshape(-1, 3)
    assert len(np.unique(both[:, 0])) == len(both)


def test_contexts_are_what_knew_nothing(make_point, tiny_algorithms, policy_for):
    """The latest prior episodes, all of them and no others; the replay has those after them, too."""
    config, env = tiny_algorithms["pearl"], make_point()
    algorithm = make_algorithm(config, env, policy_for("pearl"), 2)
    state = algorithm.init(jax.random.key(0))
    for i in range(2):
        state, _ = jax.jit(algorithm.iterate)(state, jax.random.key(i))
    knowledge = state.kept.by_task
    assert knowledge.context.rows.reward.shape == (8, config.prior_episodes * env.spec.horizon)
    np.testing.assert_array_equal(knowledge.context.filled, config.prior_episodes * env.spec.horizon)
    np.testing.assert_array_equal(knowledge.memory.replay.filled, 2 * 3 * env.spec.horizon)
    kept = np.asarray(knowledge.memory.replay.rows.reward)[:, 3 * env.spec.horizon : 5 * env.spec.horizon]
    np.testing.assert_array_equal(np.asarray(knowledge.context.rows.reward), kept)


def test_a_shaped_reward_teaches_and_is_not_told(tiny_algorithms, policy_for):
    """Sparse navigation as PEARL has it: actor and critics learn from distances, contexts and outcomes hold what was earned."""
    config, env = dataclasses.replace(tiny_algorithms["pearl"], num_tasks=8), make("point-sparse/pearl")
    algorithm = make_algorithm(config, env, policy_for("pearl"), 1)
    state, _ = jax.jit(algorithm.iterate)(algorithm.init(jax.random.key(0)), jax.random.key(1))
    knowledge = state.kept.by_task
    goals = np.asarray(knowledge.memory.standing)[:, None]
    learned, context = knowledge.memory.replay.rows, knowledge.context.rows
    filled = 3 * env.spec.horizon
    away = np.linalg.norm(np.asarray(learned.next_obs)[:, :filled] - goals, axis=-1)
    np.testing.assert_allclose(np.asarray(learned.reward)[:, :filled], -away, rtol=1e-6)
    away = np.linalg.norm(np.asarray(context.next_obs) - goals, axis=-1)
    np.testing.assert_allclose(np.asarray(context.reward), np.where(away <= 0.2, 1.0 - away, 0.0), rtol=1e-6)


def test_learns_to_tell_tasks_apart(make_point):
    """Goals around a circle: nothing is better before an episode than to stand still, -8; after it the goal is known."""
    env, network = make_point(), NetworkConfig(hidden=(32, 32), activation="relu")
    config = PearlConfig(
        num_tasks=20,
        updates=60,
        meta_batch=10,
        batch_size=24,
        context_size=16,
        capacity=20_000,
        gamma=0.9,
        kl_coef=0.01,
        encoder=network,
        critic=QCriticConfig(dataclasses.replace(network, layer_norm=True)),
        optimizer=OptimizerConfig(lr=2e-3, max_grad_norm=float("inf")),
    )
    algorithm = make_algorithm(config, env, dataclasses.replace(POLICY, network=network), 50)
    iterate = jax.jit(lambda state, keys: jax.lax.scan(algorithm.iterate, state, keys)[0])
    state = iterate(algorithm.init(jax.random.key(0)), jax.random.split(jax.random.key(1), 50))
    curve = evaluation.adaptation_curve(algorithm, env, state, jax.random.key(2), (40, 1), 2)
    before, after, later = np.asarray(curve.returns).mean(axis=1)
    assert after > before + 2.0 and later > before + 2.0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"meta_batch": 30}, "meta_batch 30 does not divide the 100 tasks"),
        ({"updates": 0}, "updates and meta_batch must be at least 1"),
        ({"reward_scale": 0.0}, "reward_scale positive"),
        ({"critic": QCriticConfig(scale_rewards=True)}, "pearl has reward_scale"),
        ({"tau": 0.0}, "tau in"),
    ],
)
def test_what_is_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        PearlConfig(**change)
