"""Beliefs that explain a trial: the ELBO against NumPy in double precision, who trains what, and that it helps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.algorithms import make_algorithm, rl2
from metarl_jax.algorithms import variational as vae
from metarl_jax.algorithms.critic import CriticConfig
from metarl_jax.algorithms.rl2 import Rl2Config
from metarl_jax.algorithms.variational import BeliefConfig
from metarl_jax.errors import ConfigError
from metarl_jax.learning.optim import OptimizerConfig
from metarl_jax.networks import MemoryConfig, NetworkConfig
from metarl_jax.policies import PolicyConfig, make_policy
from metarl_jax.types import EnvSpec

SPEC = EnvSpec("x", 2, 1, 6, (-1.0,), (1.0,))
T, B, LATENT = 7, 3, 2


def numpy_network(params, x):
    first, last = params["params"]["Dense_0"], params["params"]["Dense_1"]
    return np.maximum(x @ np.asarray(first["kernel"]) + first["bias"], 0.0) @ np.asarray(last["kernel"]) + last["bias"]


@pytest.mark.parametrize("next_obs", [False, True])
def test_elbo(x64, next_obs):
    """Term by term: each chosen belief explains each chosen step; what follows an episode's end is not predicted."""
    rng = np.random.default_rng(0)
    config = BeliefConfig(LATENT, NetworkConfig(hidden=(5,), activation="relu"), next_obs, terms=4, decoded=5)
    decoder = vae.make_decoder(config, SPEC, "float32")
    params = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape), decoder.init(jax.random.key(0)))
    inputs = rng.normal(size=(T, B, 2 + 1 + 1 + 1))  # observation, reward, action, end
    inputs[..., -1] = rng.integers(0, 2, (T, B))
    mean, std = rng.normal(size=(T, B, LATENT)), np.exp(rng.normal(size=(T, B, LATENT)))
    choice = vae.choose(config, jax.random.key(1), T, B)
    assert len(set(np.asarray(choice.decoded).tolist())) == 5 and choice.decoded.max() < T - 1
    total = errors = divergence = 0.0
    for i, t in enumerate(np.asarray(choice.belief)):
        for b in range(B):
            latent = mean[t, b] + std[t, b] * np.asarray(choice.noise)[i, b]
            error = 0.0
            for h in np.asarray(choice.decoded):
                now, then = inputs[h, b], inputs[h + 1, b]
                obs, action, reward, after, ended = now[:2], then[3:4], then[2], then[:2], then[4]
                seen = np.concatenate([latent, obs, action, after * (1 - ended)])
                error += (np.asarray(numpy_network(params["reward"], seen))[0] - reward) ** 2
                if next_obs and not ended:
                    predicted = numpy_network(params["obs"], np.concatenate([latent, obs, action]))
                    error += np.sum((np.asarray(predicted) - after) ** 2)
            m0, s0 = (mean[t - 1, b], std[t - 1, b]) if t else (0.0, 1.0)
            kl = np.sum(np.log(s0 / std[t, b]) + (std[t, b] ** 2 + (mean[t, b] - m0) ** 2) / (2 * s0**2) - 0.5)
            total += (error * (T - 1) / 5 + 0.1 * kl) / (4 * B)
            errors, divergence = errors + error / (4 * B * 5), divergence + kl / (4 * B)
    beliefs = jnp.asarray(np.concatenate([mean, std], axis=-1))
    ours, parts = decoder.elbo(params, jnp.asarray(inputs), beliefs, choice)
    np.testing.assert_allclose(ours, total, rtol=1e-9)
    np.testing.assert_allclose([parts["belief_error"], parts["belief_kl"]], [errors, divergence], rtol=1e-9)


POLICY = PolicyConfig(NetworkConfig(hidden=(8,)), MemoryConfig("gru", width=8), init_log_std=-0.5)
CONFIG = Rl2Config(
    num_tasks=4,
    envs_per_task=2,
    chunk=4,
    critic=CriticConfig(NetworkConfig(hidden=(8,)), coef=1.0),
    shared_memory=True,
    belief=BeliefConfig(LATENT, NetworkConfig(hidden=(8,)), terms=3, decoded=6),
)


def test_who_trains_what(make_point):
    """Rewards of RL reach neither memory nor belief; the ELBO reaches nothing else, and is given whole trials in order."""
    env = make_point(reach=0.8)
    policy = make_policy(POLICY, env.spec, latent=LATENT)
    model, decoder = (
        rl2.make_actor_critic(CONFIG, policy, POLICY, env.spec),
        vae.make_decoder(CONFIG.belief, env.spec, "float32"),
    )
    state = make_algorithm(CONFIG, env, POLICY, 1).init(jax.random.key(0))
    tasks = rollout.sample_tasks(env, jax.random.key(1), 4)
    history = rollout.no_history(env.spec, (4, 2), policy.init_carry((4, 2)))
    start = rollout.start(env, tasks, jax.random.key(2), (4, 2), history)
    act = rl2.make_act(policy, state.obs_stats, state.params["policy"], None)
    _, t = rollout.collect(env, act, tasks, start, jax.random.key(3), 16)
    choice = vae.choose(CONFIG.belief, jax.random.key(4), 16, 8)
    experience = rl2.prepare(CONFIG, model, state, t)._replace(
        noise=jnp.swapaxes(choice.noise, 0, 1), weight=choice.weight
    )
    batch, *_ = rl2.side_by_side(jax.tree.map(lambda x: x[np.array([1, 6])], experience))
    inputs = np.asarray(rl2.of_trials(batch.context.inputs, 2))
    flat = jax.tree.map(lambda x: np.asarray(x).reshape(8, 16, -1)[[1, 6]].swapaxes(0, 1), t)
    np.testing.assert_array_equal(inputs[..., :2], flat.obs_tm1)
    np.testing.assert_array_equal(inputs[1:, :, 2:3], flat.reward_t[:-1])
    np.testing.assert_array_equal(inputs[1:, :, 3:5], flat.action_tm1[:-1])
    np.testing.assert_array_equal(inputs[1:, :, 5:], flat.last_t[:-1])

    loss, weights = rl2.make_loss(CONFIG, policy, model, decoder), rl2.Weights(0.01, jnp.zeros(()))
    grads = {}
    for name, asked in (("rl", None), ("both", choice)):
        of_params = lambda p, asked=asked: loss(p, experience, (weights, asked))[0]  # noqa: E731
        grads[name] = jax.tree.map(np.asarray, jax.grad(of_params)(state.params))
    sizes = jax.tree.map(lambda x: np.abs(x).max(), grads)
    for part in ("memory", "belief"):
        assert max(jax.tree.leaves(sizes["rl"]["policy"][part])) == 0.0
        assert max(jax.tree.leaves(sizes["both"]["policy"][part])) > 1e-4
    assert min(jax.tree.leaves(sizes["both"]["decoder"])) > 0.0
    for part in ("mean", "log_std_logit"):
        jax.tree.map(np.testing.assert_array_equal, grads["rl"]["policy"][part], grads["both"]["policy"][part])
    jax.tree.map(np.testing.assert_array_equal, grads["rl"]["value"], grads["both"]["value"])


def test_parts_have_their_own_rates(make_point):
    """What makes the belief moves at its rate, the rest at the other; with virtual tasks too, from the second iteration on."""
    config = dataclasses.replace(
        CONFIG,
        belief=dataclasses.replace(CONFIG.belief, lr=1e-2, dropout=0.5, virtual=0.9),
        optimizer=OptimizerConfig(lr=1e-4),
        update=rl2.PpoUpdateConfig(epochs=1, minibatches=1),
    )
    algorithm = make_algorithm(config, make_point(), POLICY, 1)
    before = algorithm.init(jax.random.key(0))
    iterate = jax.jit(algorithm.iterate)
    after, first = iterate(before, jax.random.key(1))
    moved = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), after.params, before.params)
    slow = [moved["policy"]["mean"], moved["policy"]["log_std_logit"], moved["value"]]
    fast = [moved["policy"]["memory"], moved["policy"]["belief"], moved["decoder"]]
    assert 0.5e-4 < max(jax.tree.leaves(slow)) < 1.1e-4
    assert 0.5e-2 < max(jax.tree.leaves(fast)) < 1.1e-2
    assert np.isfinite(first["return_before"])
    seen, (last, second) = after.kept.by_task, iterate(after, jax.random.key(2))
    for a, b in zip(jax.tree.leaves(before.kept), jax.tree.leaves(after.kept), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)  # else a window compiles again
    moved_on = (np.asarray(last.kept.by_task.latent) != np.asarray(seen.latent)).any(axis=1)
    assert np.isfinite(second["belief_error"]) and not moved_on.all()  # what is virtual says nothing of its task
    assert moved_on.any() == bool(np.isfinite(second["return_after"]))


def numbers(rng):
    """What a memory saw, beliefs, and what is drawn for an ELBO."""
    inputs, beliefs = rng.normal(size=(T, B, 5)), np.exp(rng.normal(size=(T, B, 2 * LATENT)))
    return jnp.asarray(inputs), jnp.asarray(beliefs)


def test_dropout_hides_inputs_but_no_latent(x64):
    """What is nothing cannot be hidden: there the ELBO is the same at every rate; elsewhere it is not. The rewards of virtual
    tasks are told with all there is to see."""
    network = NetworkConfig(hidden=(5,), activation="relu")
    plain, hiding = (BeliefConfig(LATENT, network, terms=4, decoded=5, dropout=rate) for rate in (0.0, 0.5))
    choice = vae.choose(plain, jax.random.key(1), T, B)
    plain, hiding = (vae.make_decoder(config, SPEC, "float32") for config in (plain, hiding))
    params = plain.init(jax.random.key(0))
    inputs, beliefs = numbers(np.random.default_rng(3))
    nothing = jnp.zeros_like(inputs).at[..., 2].set(inputs[..., 2])  # but rewards, which are told
    (one, _), (other, _) = (decoder.elbo(params, nothing, beliefs, choice) for decoder in (plain, hiding))
    np.testing.assert_allclose(one, other, rtol=1e-12)
    (one, _), (other, _) = (decoder.elbo(params, inputs, beliefs, choice) for decoder in (plain, hiding))
    assert abs(one - other) > 1e-3
    seen = beliefs[..., :LATENT], inputs[..., :2], inputs[..., 3:4], inputs[..., :2]
    np.testing.assert_array_equal(plain.reward(params, *seen), hiding.reward(params, *seen))


def test_dropout_in_expectation():
    x = jnp.linspace(-2.0, 3.0, 50)
    keys = jax.random.split(jax.random.key(0), 4000)
    each = np.asarray(jax.vmap(lambda key: vae.drop_out(0.7, key, x))(keys))
    error = np.abs(np.asarray(x)) * np.sqrt(0.7 / 0.3 / 4000)  # of a mean of Bernoulli draws divided by 0.3
    assert (np.abs(each.mean(axis=0) - x) <= 5 * error + 1e-6).all()
    assert (each == 0.0).mean() == pytest.approx(0.7, abs=0.01)
    assert vae.drop_out(0.0, keys[0], x) is x


def test_trials_that_are_not_real_explain_nothing(x64):
    config = BeliefConfig(LATENT, NetworkConfig(hidden=(5,), activation="relu"), terms=4, decoded=5)
    decoder = vae.make_decoder(config, SPEC, "float32")
    params = decoder.init(jax.random.key(0))
    inputs, beliefs = numbers(np.random.default_rng(4))
    choice = vae.choose(config, jax.random.key(1), T, B)
    some = choice._replace(noise=choice.noise[:, ::2], weight=choice.weight[::2])
    alone = decoder.elbo(params, inputs[:, ::2], beliefs[:, ::2], some)
    masked = decoder.elbo(params, inputs, beliefs, choice._replace(weight=jnp.array([1.5, 0.0, 1.5])))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), alone, masked)
    none = decoder.elbo(params, inputs, beliefs, choice._replace(weight=jnp.zeros(3)))
    assert none[0] == 0.0


def test_bad_configurations():
    with pytest.raises(ConfigError, match=r"belief\.terms and belief\.decoded 1"):
        BeliefConfig(terms=0)
    for bad in ({"dropout": 1.0}, {"virtual": -0.1}, {"virtual": float("nan")}):
        with pytest.raises(ConfigError, match=r"belief\.dropout and belief\.virtual must lie in \[0, 1\)"):
            BeliefConfig(**bad)
    with pytest.raises(ConfigError, match="needs something that modulates the network"):
        make_policy(PolicyConfig(condition="film"), SPEC)
