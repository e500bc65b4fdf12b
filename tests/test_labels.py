"""How networks are told which task it is, against NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.algorithms import make_algorithm, off_policy
from metarl_jax.algorithms import soft as soft_losses
from metarl_jax.algorithms.q_critic import QCriticConfig, make_q_critic
from metarl_jax.algorithms.sac import SacConfig
from metarl_jax.algorithms.soft import TemperatureConfig
from metarl_jax.errors import ConfigError
from metarl_jax.learning import normalize
from metarl_jax.networks import NetworkConfig, make_network
from metarl_jax.networks.labels import LabelConfig, index, make_inputs
from metarl_jax.policies import PolicyConfig, make_policy
from metarl_jax.types import EnvSpec, Kept, RunState, Suite

SPEC = EnvSpec("three", 5, 2, 10, (-1.0, -1.0), (1.0, 1.0), num_labels=3)
OBS = np.concatenate([np.random.default_rng(0).normal(size=(6, 2)), np.eye(3)[[0, 2, 1, 1, 0, 2]]], axis=1)
ALL = [LabelConfig(), LabelConfig(embedding=4), LabelConfig(heads=True), LabelConfig(embedding=4, heads=True)]


def test_labels_are_told_from_standardised_observations():
    """Also where one task is seen far more often than another."""
    rare = np.concatenate([OBS, np.repeat(OBS[:1], 200, axis=0)])
    stats = normalize.merge(normalize.init(5), normalize.of_batch(jnp.asarray(rare)))
    np.testing.assert_array_equal(index(normalize.apply(stats, OBS), 3), OBS[:, 2:].argmax(axis=1))


@pytest.mark.parametrize("config", ALL, ids=str)
def test_what_networks_see(config):
    inputs = make_inputs(config, SPEC)
    vectors = inputs.init(jax.random.key(0))
    seen = np.asarray(inputs.see(vectors, jnp.asarray(OBS)))
    assert seen.shape == (6, 5 + inputs.added)
    np.testing.assert_allclose(seen[:, :2], OBS[:, :2], rtol=1e-6)
    if config.embedding:
        unit = np.asarray(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)
        np.testing.assert_allclose(seen[:, 2:6], unit[OBS[:, 2:].argmax(axis=1)], rtol=1e-5)
    if config.heads or not config.embedding:
        np.testing.assert_array_equal(seen[:, -3:], OBS[:, -3:])


def test_a_head_for_each_task():
    """What comes out for a task is a linear map of its own of what all tasks share."""
    inputs = make_inputs(LabelConfig(heads=True), SPEC)
    config = NetworkConfig(hidden=(7,))
    network = inputs.network(lambda size: make_network(config, size, 1.0), 2)
    params = network.init(jax.random.key(0), 5)
    shared, last = params["params"]["Dense_0"], params["params"]["Dense_1"]
    assert last["kernel"].shape == (7, 6)
    hidden = np.tanh(OBS @ np.asarray(shared["kernel"]) + np.asarray(shared["bias"]))
    for row, label in enumerate(OBS[:, 2:].argmax(axis=1)):
        own = np.asarray(last["kernel"])[:, 2 * label : 2 * label + 2]
        np.testing.assert_allclose(
            network.apply(params, jnp.asarray(OBS[row])), hidden[row] @ own, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("heads", [False, True])
def test_vectors_are_learned_by_the_critics_alone(heads, make_point):
    """The critics' loss has a gradient in them, those of policy and temperature have none."""
    inputs = make_inputs(LabelConfig(embedding=4, heads=heads), SPEC)
    policy_config = PolicyConfig(NetworkConfig(hidden=(6,)), distribution="tanh-gaussian", state_std=True)
    policy = make_policy(policy_config, SPEC, inputs)
    critic = make_q_critic(QCriticConfig(NetworkConfig(hidden=(6,))), SPEC, inputs, "float32")
    params = {
        "policy": policy.init(jax.random.key(0)),
        "critic": critic.init(jax.random.key(1)),
        "log_alpha": jnp.zeros(1),
    }
    assert "vectors" not in params["policy"]
    learner = RunState(jnp.zeros((), int), params, (), (), jnp.ones(()), Kept(params["critic"]))
    zeros = jnp.zeros(6)
    rows = off_policy.Experience(jnp.asarray(OBS), jnp.zeros((6, 2)), zeros + 1.0, zeros + 0.9, jnp.asarray(OBS))
    batch = off_policy.Batch(rows, jnp.zeros(6, int))
    loss = soft_losses.make_loss(critic, soft_losses.make_soft(SacConfig(), make_point(), policy))

    def gradient(parts):
        def of_vectors(vectors):
            moving = {name: params[name] for name in parts} | {"critic": params["critic"] | {"vectors": vectors}}
            return loss(moving, learner, batch, jax.random.key(2))[0]

        return np.asarray(jax.grad(of_vectors)(params["critic"]["vectors"]))

    assert np.abs(gradient([])).min() > 0.0
    np.testing.assert_allclose(gradient(["policy", "log_alpha"]), gradient([]), rtol=1e-5, atol=1e-7)


def test_labels_that_are_not_there(make_point):
    with pytest.raises(ConfigError, match="need observations that say which task it is"):
        make_inputs(LabelConfig(heads=True), make_point().spec)
    with pytest.raises(ConfigError, match=r"label\.embedding must be at least 0"):
        LabelConfig(embedding=-1)


class Labelled:
    """An environment whose observations end with a label."""

    def __init__(self, env, label):
        self.env, self.label, self.tasks = env, label, env.tasks
        self.spec = env.spec._replace(name=f"point{label}", obs_dim=env.spec.obs_dim + 2, num_labels=2)
        self.sample_task = env.sample_task

    def _told(self, state, timestep):
        return state, timestep._replace(obs=jnp.concatenate([timestep.obs, jnp.eye(2)[self.label]]))

    def reset(self, key, task):
        return self._told(*self.env.reset(key, task))

    def step(self, state, action, task):
        return self._told(*self.env.step(state, action, task))


@pytest.mark.parametrize(("embedding", "batch_size"), [(3, 4), (0, 16)])
def test_tasks_of_a_suite_share_a_temperature_and_a_unit(embedding, batch_size, make_point):
    """Four tasks of two environments: two temperatures, two units of reward; batches with fewer rows than tasks, too."""
    members = tuple(Labelled(make_point(horizon=5), i) for i in range(2))
    suite = Suite(members[0].spec._replace(name="points"), members)
    config = SacConfig(
        num_tasks=8,
        envs_per_task=2,
        unroll=2,
        random_steps=8,
        capacity=64,
        updates_per_step=0.125,
        batch_size=batch_size,
        label=LabelConfig(embedding=embedding),
        critic=QCriticConfig(NetworkConfig("residual", hidden=(8,)), kind="categorical", scale_rewards=True),
        temperature=TemperatureConfig(per_task=True),
    )
    policy = PolicyConfig(NetworkConfig(hidden=(8,)), distribution="tanh-gaussian", state_std=True, normalize_obs=True)
    algorithm = make_algorithm(config, suite, policy, 4)
    state = algorithm.init(jax.random.key(0))
    assert state.params["log_alpha"].shape == (2,)
    before = jax.tree.map(np.asarray, state.params)
    state, metrics = jax.jit(lambda s: jax.lax.scan(algorithm.iterate, s, jax.random.split(jax.random.key(1), 4)))(
        state
    )
    assert all(np.isfinite(metrics[name]).all() for name in ("loss", "q", "temperature"))
    moved = jax.tree.map(lambda a, b: bool(np.any(np.asarray(a) != b)), state.params, before)
    assert all(jax.tree.leaves(moved)), moved


def test_units_of_a_suite(make_point):
    """The greatest return of a kind, and what entropy adds, is 10 in its unit."""
    kinds, gamma, alpha = 2, 0.9, 0.3
    members = tuple(Labelled(make_point(horizon=5), i) for i in range(kinds))
    suite = Suite(members[0].spec, members)
    config = SacConfig(num_tasks=4, batch_size=4, gamma=gamma, critic=QCriticConfig(scale_rewards=True))
    config = dataclasses.replace(config, temperature=TemperatureConfig(target_entropy=-0.5))
    policy = make_policy(PolicyConfig(distribution="tanh-gaussian", state_std=True), suite.spec)
    soft = soft_losses.make_soft(config, suite, policy)
    unit = soft_losses.unit_of_reward(
        config, soft, {"log_alpha": jnp.full(1, np.log(alpha))}, jnp.array([1.0, 3.0, 7.0, 2.0])
    )
    bonus = alpha * 0.5 * suite.spec.action_dim / (1.0 - gamma)
    np.testing.assert_allclose(unit, np.array([3.0, 3.0, 7.0, 7.0]) / 10 + bonus / 10, rtol=1e-6)
