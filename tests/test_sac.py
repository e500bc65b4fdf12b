"""SAC: what it remembers, its gradients, and the values that it finds, against NumPy."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.algorithms import make_algorithm, off_policy, standing
from metarl_jax.algorithms import soft as soft_losses
from metarl_jax.algorithms.q_critic import QCriticConfig, make_q_critic
from metarl_jax.algorithms.sac import SacConfig
from metarl_jax.algorithms.soft import TemperatureConfig
from metarl_jax.errors import ConfigError
from metarl_jax.learning import categorical
from metarl_jax.learning.optim import OptimizerConfig
from metarl_jax.networks import NetworkConfig
from metarl_jax.networks.labels import LabelConfig, make_inputs
from metarl_jax.policies import PolicyConfig, make_act, make_policy
from metarl_jax.types import EnvSpec, Kept, RunState, TimeStep

POLICY = PolicyConfig(NetworkConfig(hidden=(8,)), distribution="tanh-gaussian", state_std=True, init_log_std=-0.5)


def begin(env, shape, slots):
    """A memory of nothing yet."""
    return off_policy.init_memory(env.spec, standing.start(env, jax.random.key(0), shape), shape, slots)


def unlabelled(env):
    """Networks that see observations as they are."""
    return make_inputs(LabelConfig(), env.spec)


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_projection(gamma):
    """Algorithm 1 of arXiv:1707.06887, as it is written there."""
    rng = np.random.default_rng(0)
    support, step = np.linspace(-2.0, 2.0, 9), 0.5
    probs, reward = rng.dirichlet(np.ones(9), 20), 2.0 * rng.normal(size=20)
    values = reward[:, None] + gamma * support
    expected = np.zeros((20, 9))
    for row, j in itertools.product(range(20), range(9)):
        b = (np.clip(values[row, j], -2.0, 2.0) + 2.0) / step
        low, high = int(np.floor(b)), int(np.ceil(b))
        if low == high:
            expected[row, low] += probs[row, j]
        else:
            expected[row, low] += probs[row, j] * (high - b)
            expected[row, high] += probs[row, j] * (b - low)
    ours = categorical.project(jnp.asarray(values), jnp.asarray(probs), categorical.atoms(9, 2.0))
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    np.testing.assert_allclose(np.sum(ours, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3])
def test_what_is_remembered(make_point, n):
    """Beside a step lies the last observation of its episode, never one of the next; only its termination ends what counts."""
    env, gamma, shape, steps = make_point(horizon=5, reach=0.8), 0.9, (2, 3), 12
    policy = make_policy(POLICY, env.spec)
    memory = begin(env, shape, slots=2 * 3 * steps)
    act = make_act(policy, policy.init_stats(), policy.init(jax.random.key(1)), None)
    _, t = standing.go_on(env, act, memory.standing, jax.random.key(2), steps)
    rows = off_policy.remember(memory, t, gamma, n).replay.rows
    t = jax.tree.map(np.asarray, t)
    assert t.terminated_t.any() and (t.last_t & ~t.terminated_t).any()
    for task, env_index, start in np.ndindex(*shape, steps):
        slot, reward, discount = env_index * steps + start, 0.0, 1.0
        for i in range(start, min(start + n, steps)):
            reward += discount * t.reward_t[task, env_index, i]
            discount *= gamma * (not t.terminated_t[task, env_index, i])
            if t.last_t[task, env_index, i]:
                break
        row = jax.tree.map(lambda x, at=(task, slot): x[at], rows)
        np.testing.assert_array_equal(row.obs, t.obs_tm1[task, env_index, start])
        np.testing.assert_array_equal(row.next_obs, t.obs_t[task, env_index, i])
        np.testing.assert_allclose(row.action, np.tanh(t.action_tm1[task, env_index, start]), rtol=1e-5)
        np.testing.assert_allclose([row.reward, row.discount], [reward, discount], rtol=1e-5, atol=1e-6)


def test_greatest_return(make_point):
    """The largest sum of discounted rewards, the latest counting most, over rounds that cut episodes apart."""
    env, gamma, shape = make_point(horizon=7), 0.8, (2, 3)
    policy = make_policy(POLICY, env.spec)
    memory = begin(env, shape, slots=3 * 5 * 4)
    act = make_act(policy, policy.init_stats(), policy.init(jax.random.key(1)), None)
    rewards, lasts = [], []
    for i in range(3):
        after, t = standing.go_on(env, act, memory.standing, jax.random.key(i), 5)
        memory = off_policy.remember(memory._replace(standing=after), t, gamma, 1)
        rewards.append(np.asarray(t.reward_t))
        lasts.append(np.asarray(t.last_t))
    reward, last = np.concatenate(rewards, -1), np.concatenate(lasts, -1)
    greatest = np.zeros(2)
    for task, e in np.ndindex(*shape):
        so_far = 0.0
        for r, ended in zip(reward[task, e], last[task, e], strict=True):
            so_far = gamma * so_far + r
            greatest[task] = max(greatest[task], abs(so_far))
            so_far = 0.0 if ended else so_far
    np.testing.assert_allclose(memory.greatest, greatest, rtol=1e-5)


def numpy_network(params, x):
    """One hidden layer of ReLU; the parameters' names are flax's."""
    first, last = params["params"]["Dense_0"], params["params"]["Dense_1"]
    return np.maximum(x @ first["kernel"] + first["bias"], 0.0) @ last["kernel"] + last["bias"]


def numpy_losses(params, held, target, batch, noises, kind):
    """Losses of critics, actor and temperature: `params` are differentiated, `held` not."""
    rows, action_dim = batch.experience, batch.experience.action.shape[-1]

    def sample(policy, obs, noise):
        mean, logit = np.split(numpy_network(policy["mean"], obs), 2, axis=-1)
        share = (POLICY.init_log_std - POLICY.min_log_std) / (POLICY.max_log_std - POLICY.min_log_std)
        logit = logit + np.log(share / (1 - share))
        log_std = POLICY.min_log_std + (POLICY.max_log_std - POLICY.min_log_std) / (1 + np.exp(-logit))
        raw = mean + np.exp(log_std) * noise
        log_prob = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - np.tanh(raw) ** 2)
        return np.tanh(raw), log_prob.sum(-1)

    def critics(critic, obs, action):
        each = [jax.tree.map(lambda x, i=i: x[i], critic["networks"]) for i in range(2)]
        return np.stack([numpy_network(p, np.concatenate([action, obs], -1)) for p in each])

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(-1, keepdims=True)

    support = np.linspace(-10, 10, 5)
    alpha, held_alpha = np.exp(params["log_alpha"])[batch.task], np.exp(held["log_alpha"])[batch.task]
    action, log_prob = sample(held["policy"], rows.next_obs, noises[0])
    outputs, ours = critics(target, rows.next_obs, action), critics(params["critic"], rows.obs, rows.action)
    now, log_prob_now = sample(params["policy"], rows.obs, noises[1])
    judged = critics(held["critic"], rows.obs, now)
    if kind == "plain":
        y = rows.reward + rows.discount * (outputs[..., 0].min(0) - held_alpha * log_prob)
        critic_loss = 0.5 * np.mean((ours[..., 0] - y) ** 2)
        q = judged[..., 0].min(0)
    else:
        values = rows.reward[:, None] + rows.discount[:, None] * (support - (held_alpha * log_prob)[:, None])
        share = np.clip(1 - np.abs(np.clip(values, -10, 10)[..., None] - support) / 5.0, 0, 1)
        probs = np.einsum("bi,bij->bj", softmax(outputs).mean(0), share)
        critic_loss = -np.mean((probs * np.log(softmax(ours))).sum(-1))
        q = (softmax(judged) @ support).mean(0)
    actor_loss = np.mean(held_alpha * log_prob_now - q)
    fixed = -sample(held["policy"], rows.obs, noises[1])[1]
    return critic_loss + actor_loss + np.mean(alpha * (fixed + action_dim))


@pytest.mark.parametrize("kind", ["plain", "categorical"])
def test_gradients(make_point, x64, kind):
    """Along random directions in each part, against differences of losses in NumPy."""
    env, rng = make_point(), np.random.default_rng(0)
    policy_config = dataclasses.replace(POLICY, network=NetworkConfig(hidden=(6,), activation="relu"))
    policy = make_policy(policy_config, env.spec)
    network = NetworkConfig(hidden=(5,), activation="relu")
    critic = make_q_critic(QCriticConfig(network, kind=kind, atoms=5), env.spec, unlabelled(env), "float32")
    config = SacConfig(num_tasks=3, batch_size=3, temperature=TemperatureConfig(per_task=True))
    soft = soft_losses.make_soft(config, env, policy)
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "policy": policy.init(keys[0]),
        "critic": critic.init(keys[1]),
        "log_alpha": jnp.array([0.1, -0.3, 0.5]),
    }
    params = jax.tree.map(lambda x: jnp.asarray(x + 0.3 * rng.normal(size=x.shape)), params)
    target = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape), params["critic"])
    obs, action, next_obs = (rng.normal(size=(12, 2)) for _ in range(3))
    rows = off_policy.Experience(obs, np.tanh(action), rng.normal(size=12), 0.9 * rng.integers(0, 2, 12), next_obs)
    batch = off_policy.Batch(rows, np.repeat(np.arange(3), 4))
    learner = learner_of(params, target)
    loss = soft_losses.make_loss(critic, soft)
    grads = jax.grad(lambda p: loss(p, learner, batch, keys[2])[0])(params)
    noises = [jax.random.normal(k, (12, 2)) for k in jax.random.split(keys[2])]
    held = jax.tree.map(np.asarray, params)
    for part in params:
        direction = jax.tree.map(lambda x: rng.normal(size=x.shape), held[part])
        ends = []
        for step in (1e-6, -1e-6):
            moved = jax.tree.map(lambda x, d, step=step: x + step * d, held[part], direction)
            ends.append(numpy_losses(held | {part: moved}, held, target, batch, noises, kind))
        expected = (ends[0] - ends[1]) / 2e-6
        ours = sum(jax.tree.leaves(jax.tree.map(lambda g, d: np.sum(g * d), grads[part], direction)))
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-9)
        assert abs(expected) > 1e-4


def learner_of(params, target):
    """A learner of which only parameters and targets are looked at."""
    return RunState(jnp.zeros((), int), params, (), (), jnp.ones(()), Kept(target))


class TwoStates:
    """Two states in turn, whatever is done; an observation says which. The reward is that of the state that is left."""

    tasks = jnp.zeros(1)
    rewards = (1.0, -0.5)
    spec = EnvSpec("two-states", 2, 1, 20, (-1.0,), (1.0,))

    def sample_task(self, key):
        return jnp.zeros(())

    def reset(self, key, task):
        state = jax.random.randint(key, (), 0, 2)
        return state, TimeStep(jax.nn.one_hot(state, 2), jnp.zeros(()), jnp.array(False))

    def step(self, state, action, task):
        after = 1 - state
        return after, TimeStep(jax.nn.one_hot(after, 2), jnp.array(self.rewards)[state], jnp.array(False))


SMALL = SacConfig(envs_per_task=8, unroll=2, capacity=512, random_steps=64, updates_per_step=0.5, batch_size=64)


def train(config, env, policy, iterations):
    """The last state, and the metrics of all iterations."""
    algorithm = make_algorithm(config, env, policy, iterations)
    keys = jax.random.split(jax.random.key(1), iterations)
    return jax.jit(lambda state: jax.lax.scan(algorithm.iterate, state, keys))(algorithm.init(jax.random.key(0)))


@pytest.mark.parametrize("kind", ["plain", "categorical"])
def test_soft_values_of_two_states(kind):
    """Q(s) = r(s) + gamma (Q(s') + alpha H(s')): two linear equations, with the entropies of the policy that was found."""
    gamma, alpha, env = 0.5, 0.5, TwoStates()
    config = dataclasses.replace(
        SMALL,
        gamma=gamma,
        tau=0.1,
        critic=QCriticConfig(NetworkConfig(hidden=(32,)), kind=kind, limit=3.0),
        temperature=TemperatureConfig(init=alpha, lr=1e-12),
        optimizer=OptimizerConfig(lr=5e-3, lr_schedule="cosine"),
    )
    policy_config = dataclasses.replace(POLICY, min_log_std=-3.0)
    state, metrics = train(config, env, policy_config, iterations=250)
    policy = make_policy(policy_config, env.spec)
    critic = make_q_critic(config.critic, env.spec, unlabelled(env), "float32")
    entropy = np.asarray(policy.distribution.entropy(policy.head(state.params["policy"], jnp.eye(2))))
    matrix = np.array([[1.0, -gamma], [-gamma, 1.0]])
    expected = np.linalg.solve(matrix, np.array(env.rewards) + gamma * alpha * entropy[::-1])
    for action in (-0.7, 0.0, 0.7):
        q = critic.value(critic.apply(state.params["critic"], jnp.eye(2), jnp.full((2, 1), action)))
        np.testing.assert_allclose(q, expected, atol=1e-2)
    assert entropy.min() > 0.6  # of at most log 2: no action is better than another
    np.testing.assert_allclose(metrics["temperature"][-1], alpha, rtol=1e-5)


def test_a_temperature_keeps_the_entropy_to_its_target():
    """Where actions are worth the same the entropy falls to what is asked for, far below that of chance."""
    config = dataclasses.replace(
        SMALL,
        critic=QCriticConfig(NetworkConfig(hidden=(16,))),
        temperature=TemperatureConfig(init=0.1, lr=1e-2, target_entropy=-0.5),
        optimizer=OptimizerConfig(lr=1e-2),
    )
    _, metrics = train(config, TwoStates(), dataclasses.replace(POLICY, min_log_std=-5.0), iterations=400)
    assert abs(metrics["entropy"][-100:].mean() + 0.5) < 0.15


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch_size": 10, "num_tasks": 4}, "batch_size 10 cannot be split evenly over 4 tasks: take 8 or 12"),
        ({"n_step": 9}, "n_step 9 is more than the 8 steps"),
        ({"updates_per_step": 1e-4}, "makes 0 updates of 128"),
        ({"actor_delay": 3}, "multiple of actor_delay 3"),
        ({"gamma": 1.0}, "gamma must lie in"),
    ],
)
def test_what_is_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        SacConfig(**change)


def test_what_policies_it_takes(make_point):
    with pytest.raises(ConfigError, match=r"set policy\.distribution to tanh-gaussian"):
        make_algorithm(SacConfig(), make_point(), PolicyConfig(), 1)
    with pytest.raises(ConfigError, match="use --algorithm rl2"):
        memory = dataclasses.replace(PolicyConfig().memory, name="gru")
        make_algorithm(SacConfig(), make_point(), dataclasses.replace(POLICY, memory=memory), 1)
