"""Networks and policies: initialisation, forward pass, bounds, validation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.errors import ConfigError
from metarl_jax.learning import normalize
from metarl_jax.networks import MemoryConfig, NetworkConfig, make_network
from metarl_jax.policies import PolicyConfig, make_act, make_judged_act, make_policy
from metarl_jax.types import EnvSpec, History

SPEC = EnvSpec("walled", 5, 2, 10, (-1.0, -2.0), (1.0, 0.5))
OPEN = SPEC._replace(name="open", action_low=(-np.inf, -1.0), action_high=(np.inf, 1.0))


def kernels(params):
    return [layer["kernel"] for name, layer in sorted(params["params"].items()) if name.startswith("Dense")]


def test_initialisation_is_orthogonal():
    params = make_network(NetworkConfig(hidden=(16, 16)), 2, out_scale=0.01).init(jax.random.key(0), 5)
    first, second, last = (np.asarray(k) for k in kernels(params))
    np.testing.assert_allclose(first @ first.T, 2.0 * np.eye(5), atol=1e-5)
    np.testing.assert_allclose(second @ second.T, 2.0 * np.eye(16), atol=1e-5)
    np.testing.assert_allclose(last.T @ last, 1e-4 * np.eye(2), atol=1e-8)
    assert all(not layer["bias"].any() for layer in params["params"].values())


NUMPY = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "swish": lambda x: x / (1.0 + np.exp(-x)),
    "gelu": lambda x: 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3))),
}


@pytest.mark.parametrize("activation", NUMPY)
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("compute_dtype", "rtol"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_forward_pass(activation, layer_norm, compute_dtype, rtol):
    """Within roundings, relative to the largest output."""
    config = NetworkConfig(hidden=(7, 6), activation=activation, layer_norm=layer_norm)
    network = make_network(config, 2, 1.0, compute_dtype)
    obs = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    params = network.init(jax.random.key(0), 5)
    first, second, last = (np.asarray(k, np.float64) for k in kernels(params))
    x = obs.astype(np.float64)
    for kernel in (first, second):
        x = x @ kernel
        if layer_norm:
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        x = NUMPY[activation](x)
    out, expected = network.apply(params, obs), x @ last
    assert out.dtype == np.float32
    error = np.abs(out - expected).max() / np.abs(expected).max()
    assert error < rtol and (error > 1e-4) == (compute_dtype == "bfloat16")


def test_log_std_starts_where_asked_and_stays_within_its_bounds():
    policy = make_policy(PolicyConfig(init_log_std=-0.7, min_log_std=-3.0, max_log_std=0.5), SPEC)
    params, obs = policy.init(jax.random.key(0)), jnp.ones(5)
    np.testing.assert_allclose(policy.dist(params, obs).log_std, [-0.7, -0.7], rtol=1e-5)
    far = params | {"log_std_logit": jnp.array([-1e3, 1e3])}
    np.testing.assert_allclose(policy.dist(far, obs).log_std, [-3.0, 0.5], rtol=1e-5)


def test_first_actions_are_near_zero():
    policy = make_policy(PolicyConfig(), SPEC)
    obs = 3.0 * jax.random.normal(jax.random.key(1), (100, 5))
    assert np.abs(policy.dist(policy.init(jax.random.key(0)), obs).mean).max() < 0.1


@pytest.mark.parametrize("axis", [None, 0])
def test_act(axis):
    """Every observation is standardised, its task's policy draws, and all that is reported of the draw agrees."""
    policy = make_policy(PolicyConfig(init_log_std=0.5), SPEC)
    many = jax.vmap(policy.init)(jax.random.split(jax.random.key(0), 3))
    params = many if axis == 0 else jax.tree.map(lambda x: x[0], many)
    past = np.random.default_rng(0).normal(2.0, 3.0, size=(50, 5)).astype(np.float32)
    obs = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
    history = History((), jnp.zeros((3, 4, 2)), jnp.zeros((3, 4)), jnp.zeros((3, 4), bool))
    _, sample = make_act(policy, normalize.of_batch(past), params, axis)(obs, history, jax.random.key(2))
    raw, mean, std = np.asarray(sample.raw), np.asarray(sample.dist.mean), np.exp(sample.dist.log_std)
    for n in range(3):
        of_task = jax.tree.map(lambda x, n=n: x[n], many) if axis == 0 else params
        expected = policy.dist(of_task, (obs[n] - past.mean(axis=0)) / past.std(axis=0)).mean
        np.testing.assert_allclose(mean[n], expected, rtol=1e-4, atol=1e-6)
    low, high = np.array(SPEC.action_low), np.array(SPEC.action_high)
    np.testing.assert_allclose(sample.action, low + (high - low) * (np.clip(raw, -1.0, 1.0) + 1.0) / 2.0, atol=1e-6)
    log_prob = (-0.5 * ((raw - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(axis=-1)
    np.testing.assert_allclose(sample.log_prob, log_prob, rtol=1e-5)
    assert len(np.unique(raw)) == raw.size


@pytest.mark.parametrize("name", ["gaussian", "tanh-gaussian"])
def test_the_most_likely_action(name):
    """The mean, brought into the bounds, whatever the key; what is reported of the draw, and to a memory, is of it."""
    config = PolicyConfig(distribution=name, init_log_std=0.5, memory=MemoryConfig("gru", width=4))
    policy = make_policy(config, SPEC)
    history = History(policy.init_carry((3, 4)), jnp.ones((3, 4, 2)), jnp.ones((3, 4)), jnp.zeros((3, 4), bool))
    obs = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)

    @jax.jit
    def act_twice(key):
        params = jax.tree.map(lambda x: 60.0 * x, policy.init(key))  # so that some means are out of bounds
        drawn = make_act(policy, policy.init_stats(), params, None)
        likely = make_judged_act("mode", config, SPEC)(drawn)
        return drawn(obs, history, key), likely(obs, history, jax.random.split(key)[0])

    (carry_drawn, sample), (carry, mode) = act_twice(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, (carry, mode.dist), (carry_drawn, sample.dist))
    mean, std = np.asarray(sample.dist.mean, np.float64), np.exp(np.asarray(sample.dist.log_std, np.float64))
    np.testing.assert_array_equal(mode.raw, sample.dist.mean)
    share = np.clip(mean, -1.0, 1.0) if name == "gaussian" else np.tanh(mean)
    low, high = np.array(SPEC.action_low), np.array(SPEC.action_high)
    np.testing.assert_allclose(mode.action, low + (high - low) * (share + 1.0) / 2.0, atol=1e-6)
    assert mean.max() > 1.0
    log_prob = -np.log(std) - 0.5 * np.log(2 * np.pi)
    if name == "tanh-gaussian":
        log_prob = log_prob - np.log((high - low) / 2.0 * (1.0 - np.tanh(mean) ** 2))
    np.testing.assert_allclose(mode.log_prob, log_prob.sum(axis=-1), rtol=1e-4, atol=1e-4)


def test_choices_of_actions():
    assert make_judged_act("sample", PolicyConfig(), SPEC) is None
    with pytest.raises(ConfigError, match="did you mean 'mode'"):
        make_judged_act("mod", PolicyConfig(), SPEC)


def test_tanh_gaussian_needs_bounds():
    config = PolicyConfig(distribution="tanh-gaussian")
    make_policy(config, SPEC)
    make_policy(PolicyConfig(), OPEN)
    with pytest.raises(ConfigError, match=r"'open'.*set policy.distribution to 'gaussian'"):
        make_policy(config, OPEN)


def test_unknown_names():
    with pytest.raises(ConfigError, match="did you mean 'tanh-gaussian'"):
        make_policy(PolicyConfig(distribution="tanh-gausian"), SPEC)
    with pytest.raises(ConfigError, match="mlp"):
        make_policy(PolicyConfig(network=NetworkConfig(name="mpl")), SPEC)


@pytest.mark.parametrize(
    "bad",
    [
        {"init_log_std": 1.0},
        {"init_log_std": -2.0},
        {"init_log_std": float("nan")},
        {"max_log_std": float("nan")},
        {"max_log_std": float("inf")},
        {"min_log_std": float("-inf")},
    ],
)
def test_bad_log_std(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        PolicyConfig(**bad)


@pytest.mark.parametrize("hidden", [(), (0,), (8, -1)])
def test_bad_sizes(hidden):
    with pytest.raises(ConfigError, match="hidden"):
        NetworkConfig(hidden=hidden)
