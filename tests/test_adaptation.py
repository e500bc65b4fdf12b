"""The meta-gradient: closed forms on a quadratic loss, finite differences on a small policy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import rollout
from metarl_jax.algorithms.inner_loop import InnerLoop, InnerLoopConfig
from metarl_jax.algorithms.maml_ppo import MamlPpoConfig, meta_loss
from metarl_jax.algorithms.ppo_update import Batch, PpoUpdateConfig, Weights, policy_loss
from metarl_jax.learning import adaptation, losses, normalize
from metarl_jax.learning.distributions import Gaussian, gaussian_log_prob
from metarl_jax.policies import make_policy
from metarl_jax.types import EnvSpec, TimeStep

pytestmark = pytest.mark.usefixtures("x64")

RATE = 0.3
THETA = {"a": np.array([1.0, -2.0, 0.5]), "b": np.array([[3.0, 0.1]])}
TARGET = {"a": np.array([0.5, 1.0, -0.2]), "b": np.array([[-1.0, 2.0]])}


def quadratic(params, target):
    """Curvature 1: each inner step shrinks the distance to the target by 1 - rate."""
    return 0.5 * sum(jnp.sum((params[name] - target[name]) ** 2) for name in params)


def after_steps(params, rates, k, first_order, remat=False):
    adapted, _ = adaptation.adapt(quadratic, params, rates, [TARGET] * k, first_order, remat)
    return quadratic(adapted, TARGET)


def same_rates(rate):
    return jax.tree.map(lambda _: rate, THETA)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize(("first_order", "power"), [(False, 2), (True, 1)])
@pytest.mark.usefixtures("strict_ranks")
def test_quadratic_meta_gradient(jit, remat, k, first_order, power):
    gradient = jax.grad(lambda p: after_steps(p, same_rates(RATE), k, first_order, remat))
    grads = (jax.jit(gradient) if jit else gradient)(THETA)
    for name in THETA:
        expected = (1.0 - RATE) ** (power * k) * (THETA[name] - TARGET[name])
        np.testing.assert_allclose(grads[name], expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_quadratic_gradient_of_the_rates(k, first_order):
    """Meta-SGD: each parameter has its own rate a, and the loss is 0.5 (1 - a)^2k d^2."""
    rates = {"a": np.array([0.1, 0.3, 0.5]), "b": np.array([[0.2, 0.7]])}
    grads = jax.grad(lambda r: after_steps(THETA, r, k, first_order))(rates)
    for name in THETA:
        shrink, d = 1.0 - rates[name], THETA[name] - TARGET[name]
        if first_order:  # each step's gradient (1 - a)^i d counts as a constant
            expected = -(shrink**k) * d * sum(shrink**i * d for i in range(k))
        else:
            expected = -k * shrink ** (2 * k - 1) * d**2
        np.testing.assert_allclose(grads[name], expected, rtol=1e-12)


def test_adapt_takes_one_step_per_batch():
    other = {"a": np.array([2.0, 2.0, 2.0]), "b": np.array([[0.0, -4.0]])}
    adapted, norm = adaptation.adapt(quadratic, THETA, same_rates(RATE), [TARGET, other], False)
    middle = {n: THETA[n] - RATE * (THETA[n] - TARGET[n]) for n in THETA}
    for name in THETA:
        np.testing.assert_allclose(adapted[name], middle[name] - RATE * (middle[name] - other[name]), rtol=1e-12)
    flat = [
        np.concatenate([(p[n] - t[n]).ravel() for n in THETA]) for p, t in [(THETA, TARGET), (middle, other)]
    ]  # the two gradients
    np.testing.assert_allclose(norm, np.mean([np.linalg.norm(g) for g in flat]), rtol=1e-12)


def test_surrogates_share_gradient_but_not_hessian():
    """One Gaussian mean m, log-probability -(a - m)^2 / 2s^2: both derivatives are known."""
    rng = np.random.default_rng(0)
    mean, std = 0.4, 0.7
    action, advantage = mean + std * rng.normal(size=50), rng.normal(size=50) + 0.5
    old = gaussian_log_prob(Gaussian(jnp.full((50, 1), mean), jnp.full((50, 1), np.log(std))), action[:, None])

    def loss(name, m):
        dist = Gaussian(jnp.full((50, 1), m), jnp.full((50, 1), np.log(std)))
        return losses.SURROGATES[name](gaussian_log_prob(dist, action[:, None]), old, advantage)

    score = (action - mean) / std**2
    for name in ("log_prob", "ratio"):
        gradient = jax.grad(loss, argnums=1)(name, mean)
        np.testing.assert_allclose(gradient, -np.mean(score * advantage), rtol=1e-10)
    hessians = {name: jax.hessian(loss, argnums=1)(name, mean) for name in ("log_prob", "ratio")}
    np.testing.assert_allclose(hessians["log_prob"], np.mean(advantage) / std**2, rtol=1e-10)
    np.testing.assert_allclose(hessians["ratio"], np.mean(advantage * (1.0 / std**2 - score**2)), rtol=1e-10)
    assert abs(hessians["ratio"] - hessians["log_prob"]) > 0.1


class OneStateEnv:
    """One state, one step, reward -(a - task)^2, actions without bounds."""

    tasks = None
    spec = EnvSpec("one-state", 1, 1, 1, (-np.inf,), (np.inf,))

    def sample_task(self, key):
        return jnp.ones(())

    def reset(self, key, task):
        return (), TimeStep(jnp.zeros(1), jnp.zeros(()), jnp.array(False))

    def step(self, state, action, task):
        return (), TimeStep(jnp.zeros(1), -((action[0] - task) ** 2), jnp.array(True))


@pytest.mark.parametrize(("surrogate", "share"), [(None, 1.0), ("ratio", 1.0), ("log_prob", 0.0)])
def test_second_order_sees_the_curvature_of_the_return(surrogate, share, tiny_policy):
    """d(adapted mean)/d(mean) is 1 - rate * 2 / std(A) by default, and 1 where the surrogate has no curvature.

    Rewards of a ~ N(m, s^2) about a goal at distance d have the variance 4 d^2 s^2 + 2 s^4; advantages are divided by its root.
    The network is tanh with biases of zero, and the only observation is zero: its last bias is the mean.
    """
    env, rate = OneStateEnv(), 0.2
    config = MamlPpoConfig(inner=InnerLoopConfig(lr=rate)) if surrogate is None else None
    config = config or MamlPpoConfig(inner=InnerLoopConfig(lr=rate, surrogate=surrogate))
    policy = make_policy(tiny_policy, env.spec)
    inner = InnerLoop(config.inner, env, policy, config.first_order)
    meta = inner.init(jax.random.key(0))
    task = jnp.ones(1)
    trial = jax.jit(lambda m: inner.run_trial(m, normalize.init(1), task, jax.random.key(1), (1, 200_000)))(meta)
    support = jax.tree.map(lambda x: x[0], trial.support)
    dense = sorted(meta["policy"]["mean"]["params"])[-1]

    def adapted_mean(mean):
        policy_params = jax.tree.map(lambda x: x, meta["policy"])
        policy_params["mean"]["params"][dense]["bias"] = mean[None]
        return inner.adapt(meta, policy_params, support)[0]["mean"]["params"][dense]["bias"][0]

    std = np.exp(tiny_policy.init_log_std)
    step = rate / np.sqrt(4.0 * std**2 + 2.0 * std**4)
    value, slope = jax.jit(jax.value_and_grad(adapted_mean))(jnp.zeros(()))
    np.testing.assert_allclose(value, 2.0 * step, rtol=0.02)
    np.testing.assert_allclose(slope, 1.0 - share * 2.0 * step, atol=0.01)


@pytest.fixture(scope="module", params=["fixed rates, log_prob", "learned rates, ratio"])
def problem(request, make_point, tiny_policy):
    """A small meta-loss in float64 with every term switched on, a little away from the policy that gathered its data."""
    learn_lr, surrogate = request.param.startswith("learned"), request.param.split()[-1]
    config = MamlPpoConfig(
        num_tasks=3,
        envs_per_task=2,
        inner=InnerLoopConfig(steps=2, lr=0.2, learn_lr=learn_lr, surrogate=surrogate),
        inner_kl_coef=0.3,
        update=PpoUpdateConfig(clip=0.3, minibatches=1),
    )
    with jax.enable_x64(True):
        env = make_point(reach=0.8)
        inner = InnerLoop(config.inner, env, make_policy(tiny_policy, env.spec), first_order=False)
        meta = inner.init(jax.random.key(0))
        meta = jax.tree.map(lambda p, k: p + 0.3 * jax.random.normal(k, p.shape), meta, _keys(meta, 1))
        tasks = rollout.sample_tasks(env, jax.random.key(2), 3)
        stats = normalize.init(2)
        trial = jax.jit(lambda m: inner.run_trial(m, stats, tasks, jax.random.key(3), (3, 2)))(meta)
        nearby = jax.tree.map(lambda p, k: p + 0.02 * jax.random.normal(k, p.shape), meta, _keys(meta, 4))
    assert trial.query.context.dtype == jnp.float64
    return config, inner, nearby, trial


def _keys(tree, seed):
    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(structure, list(jax.random.split(jax.random.key(seed), len(leaves))))


def loss_of(config, inner, trial):
    weights = Weights(jnp.array(0.1), jnp.array(0.5))
    return lambda meta: meta_loss(meta, inner, config, trial.support, trial.query, weights)[0]


def dot(a, b):
    return sum(float(jnp.vdot(x, y)) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def directional_difference(loss, meta, direction, size=1e-6):
    up, down = (jax.tree.map(lambda p, d, s=s: p + s * size * d, meta, direction) for s in (1.0, -1.0))
    return float(loss(up) - loss(down)) / (2.0 * size)


def test_meta_gradient_against_finite_differences(problem):
    config, inner, meta, trial = problem
    loss = jax.jit(loss_of(config, inner, trial))
    grads = jax.jit(jax.grad(loss))(meta)
    assert ("log_rate" in grads) == config.inner.learn_lr
    for seed in range(4):
        direction = jax.tree.map(lambda p, k: jax.random.normal(k, p.shape), meta, _keys(meta, 10 + seed))
        for part in meta:  # the policy and the rates apart, so that neither hides the other
            only = {n: jax.tree.map(lambda x, keep=(n == part): x * keep, d) for n, d in direction.items()}
            expected = directional_difference(loss, meta, only)
            assert abs(expected) > 1e-4
            np.testing.assert_allclose(dot(grads, only), expected, rtol=1e-6)


def test_rematerialised_gradient_is_the_same(problem):
    config, inner, meta, trial = problem
    again = InnerLoop(dataclasses.replace(config.inner, remat=True), inner.env, inner.policy, first_order=False)
    grads, expected = (jax.jit(jax.grad(loss_of(config, i, trial)))(meta) for i in (again, inner))
    jax.tree.map(lambda g, e: np.testing.assert_allclose(g, e, rtol=1e-6, atol=1e-12), grads, expected)


def test_first_order_gradient_is_that_of_the_adapted_policies(problem):
    """FOMAML: the mean over tasks of the loss's gradient at the adapted parameters, which is not the true gradient."""
    config, inner, meta, trial = problem
    config = dataclasses.replace(config, inner_kl_coef=0.0)
    first = InnerLoop(config.inner, inner.env, inner.policy, first_order=True)
    grads, exact = (jax.jit(jax.grad(loss_of(config, i, trial)))(meta)["policy"] for i in (first, inner))
    weights = Weights(jnp.array(0.1), jnp.array(0.5))

    def at_adapted(support: list[Batch], query: Batch):
        adapted, _ = first.adapt(meta, meta["policy"], support)
        return jax.grad(lambda p: policy_loss(first.policy, p, query, config.update.clip, weights)[0])(adapted)

    expected = jax.tree.map(lambda g: g.mean(axis=0), jax.jit(jax.vmap(at_adapted))(trial.support, trial.query))
    jax.tree.map(lambda g, e: np.testing.assert_allclose(g, e, rtol=1e-9, atol=1e-12), grads, expected)
    difference = jax.tree.map(jnp.subtract, grads, exact)
    assert dot(difference, difference) > 1e-4 * dot(exact, exact)
