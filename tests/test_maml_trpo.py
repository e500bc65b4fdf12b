"""MAML-TRPO: products with the Hessian of the KL through the adaptation, the natural step, the line search."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from metarl_jax import rollout
from metarl_jax.algorithms import make_algorithm
from metarl_jax.algorithms.inner_loop import InnerLoop, InnerLoopConfig, Trial
from metarl_jax.algorithms.maml_trpo import MamlTrpoConfig, adapted_dist, adapted_loss, outer_step
from metarl_jax.learning import normalize
from metarl_jax.learning.optim import init_run_state
from metarl_jax.learning.trust_region import TrustRegionConfig, gauss_newton_product, line_search, natural_step
from metarl_jax.networks import NetworkConfig
from metarl_jax.policies import PolicyConfig, make_policy
from metarl_jax.types import Kept, Params

NAN = float("nan")
CONFIG = TrustRegionConfig(damping=0.1, cg_iterations=60)
EXACT = TrustRegionConfig(damping=0.0, cg_iterations=30)


# The step on a quadratic: loss g'x, KL x'Hx / 2, both exact.


@pytest.fixture
def quadratic(x64):
    """Gradient `[6]` and positive definite Hessian `[6, 6]`, as parameters `{"a": [2], "b": [2, 2]}` and functions of such."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    gradient, hessian = rng.normal(size=6), root @ root.T + 0.1 * np.eye(6)
    start, unravel = ravel_pytree({"a": jnp.asarray(rng.normal(size=2)), "b": jnp.asarray(rng.normal(size=(2, 2)))})

    def measure(params):
        away = ravel_pytree(params)[0] - start
        return {"surrogate": gradient @ away, "kl": away @ hessian @ away / 2.0}

    return gradient, hessian, unravel(start), unravel, measure


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0])


def times(matrix, unravel):
    """The product of a matrix and parameters."""
    return lambda v: unravel(matrix @ ravel_pytree(v)[0])


@pytest.mark.parametrize("damping", [0.0, 0.7])
def test_natural_step_in_closed_form(quadratic, damping):
    """sqrt(2 delta / g' H^-1 g) H^-1 g, H with the damping; it reaches the border of the region."""
    gradient, hessian, params, unravel, measure = quadratic
    config = dataclasses.replace(EXACT, damping=damping, max_kl=0.03)
    found = natural_step(config, unravel(jnp.asarray(gradient)), times(hessian, unravel))
    direction = np.linalg.solve(hessian + damping * np.eye(6), gradient)
    np.testing.assert_allclose(flat(found.step), np.sqrt(0.06 / (gradient @ direction)) * direction, rtol=1e-6)
    assert found.residual < 1e-5
    if not damping:
        moved = jax.tree.map(lambda p, s: p - s, params, found.step)
        np.testing.assert_allclose(measure(moved)["kl"], 0.03, rtol=1e-6)
        np.testing.assert_allclose(measure(moved)["surrogate"], -np.sqrt(0.06 * (gradient @ direction)), rtol=1e-6)


def test_conjugate_gradients_are_cut_short(quadratic):
    """After k iterations the step lies in the k-th Krylov space, where it is the best one (here by a dense least squares)."""
    gradient, hessian, _, unravel, _ = quadratic
    found = natural_step(
        dataclasses.replace(EXACT, cg_iterations=2), unravel(jnp.asarray(gradient)), times(hessian, unravel)
    )
    basis = np.stack([gradient, hessian @ gradient], axis=1)
    direction = basis @ np.linalg.solve(basis.T @ hessian @ basis, basis.T @ gradient)
    np.testing.assert_allclose(
        flat(found.step), np.sqrt(0.02 / (direction @ hessian @ direction)) * direction, rtol=1e-8
    )
    left = np.linalg.norm(hessian @ direction - gradient) / np.linalg.norm(gradient)
    np.testing.assert_allclose(found.residual, left, rtol=1e-8)
    assert left > 0.01


def test_no_gradient_no_step(quadratic):
    _, hessian, _, unravel, _ = quadratic
    found = natural_step(EXACT, unravel(jnp.zeros(6)), times(hessian, unravel))
    assert (flat(found.step) == 0.0).all() and found.residual == 0.0


@pytest.mark.parametrize(
    ("longest", "limit", "tries", "size"),
    [(1.0, 1.01, 1, 1.0), (0.5, 1.01, 1, 0.5), (1.0, 0.65, 2, 0.8), (1.0, 0.3, 4, 0.512), (1.0, 0.06, 5, 0.0)],
)
def test_line_search(quadratic, longest, limit, tries, size):
    """The KL of a part p of the natural step is p^2 of the whole one's: the first of 1, 0.8, 0.64 ... with p^2 <= limit."""
    gradient, hessian, params, unravel, measure = quadratic
    step = natural_step(EXACT, unravel(jnp.asarray(gradient)), times(hessian, unravel)).step
    config = dataclasses.replace(EXACT, max_kl=0.01 * limit, max_tries=5)
    search = jax.jit(lambda longest: line_search(config, measure, params, measure(params), step, longest))(longest)
    assert (int(search.tries), bool(search.accepted)) == (tries, size > 0.0)
    np.testing.assert_allclose(search.size, size, rtol=1e-12)
    np.testing.assert_allclose(search.parts["kl"], 0.01 * size**2, rtol=1e-6)
    np.testing.assert_array_equal(
        flat(search.params), flat(jax.tree.map(lambda p, s: p - search.size * s, params, step))
    )


@pytest.mark.parametrize("value", [0.0, 1.0, NAN])
def test_what_is_no_improvement_changes_nothing(quadratic, value):
    *_, params, _, _ = quadratic
    before = {"surrogate": jnp.zeros(()), "kl": jnp.zeros(())}
    ones = jax.tree.map(jnp.ones_like, params)

    def measure(params):
        return {"surrogate": jnp.asarray(value), "kl": jnp.zeros(())}

    search = line_search(EXACT, measure, params, before, ones, jnp.ones(()))
    np.testing.assert_array_equal(flat(search.params), flat(params))
    assert not search.accepted and search.tries == 15 and search.size == 0.0 and search.parts == before


# The same through the adaptation of a small policy.


class Problem(NamedTuple):
    inner: InnerLoop
    meta: Params
    trial: Trial
    start: jax.Array  # the meta-parameters, flat
    loss: Callable  # of flat meta-parameters: the loss and its parts
    dists: Callable  # of flat meta-parameters: the adapted policies' distributions


@pytest.fixture(scope="module")
def make_problem(make_point):
    """Four tasks in float64, with learned step sizes; whether to first order."""
    policy = PolicyConfig(network=NetworkConfig(hidden=(2,)), init_log_std=-0.5)
    env = make_point(horizon=4)

    @functools.cache
    def make(first_order):
        inner = InnerLoop(InnerLoopConfig(lr=0.3, learn_lr=True), env, make_policy(policy, env.spec), first_order)
        start, unravel = ravel_pytree(jax.tree.map(lambda p: p.astype(float), inner.init(jax.random.key(0))))
        start = start + 0.3 * jax.random.normal(jax.random.key(1), start.shape)
        meta, tasks = unravel(start), rollout.sample_tasks(env, jax.random.key(2), 4)
        trial = jax.jit(lambda m: inner.run_trial(m, normalize.init(2), tasks, jax.random.key(3), (4, 3)))(meta)

        def dists(x):
            return adapted_dist(unravel(x), inner, trial.support, trial.query)

        def loss(x):
            return adapted_loss(unravel(x), inner, trial.support, trial.query)

        return Problem(inner, meta, trial, start, loss, dists)

    return make


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("first_order", [False, True])
def test_product_against_dense_matrices(make_problem, first_order):
    """The KL's Hessian at the old parameters; elsewhere, where the KL has a gradient too, J' L J."""
    problem = make_problem(first_order)
    old, unravel = problem.trial.query.dist, ravel_pytree(problem.trial.query.dist)[1]

    def outputs(x):
        return ravel_pytree(problem.dists(x))[0]

    def kl(y):
        return jnp.mean(problem.inner.policy.distribution.kl(old, unravel(y)))

    @jax.jit
    def each(x, v):
        jacobian, curvature = jax.jacrev(outputs)(x), jax.hessian(kl)(outputs(x))
        hessian = jax.hessian(lambda x: problem.loss(x)[1]["kl"])(x)
        return hessian @ v, jacobian.T @ curvature @ jacobian @ v, gauss_newton_product(outputs, kl, x, v)

    for seed, size in enumerate([0.0, 0.05]):
        direction, vector = jax.random.normal(jax.random.key(seed), (2, *problem.start.shape))
        hessian, dense, product = each(problem.start + size * direction, vector)
        np.testing.assert_allclose(product, dense, rtol=1e-8, atol=1e-10)
        assert np.abs(product).max() > 1e-3 and np.allclose(product, hessian, rtol=1e-6, atol=1e-9) == (size == 0.0)


@pytest.mark.usefixtures("x64")
def test_hessian_is_that_of_the_adapted_policies(make_problem):
    """J' F J: the Jacobian J by finite differences through the adaptation, and the Fisher matrix F of Gaussians."""
    problem, size = make_problem(False), 1e-5
    hessian = jax.jit(jax.hessian(lambda x: problem.loss(x)[1]["kl"]))(problem.start)
    dists = jax.jit(jax.vmap(problem.dists))
    steps = size * np.eye(len(problem.start))
    up, down = dists(problem.start + steps), dists(problem.start - steps)
    mean, log_std = ((u - d) / (2.0 * size) for u, d in zip(up, down, strict=True))
    std = np.exp(problem.trial.query.dist.log_std)
    root = np.concatenate([mean / std, np.sqrt(2.0) * log_std], axis=-1).reshape(len(steps), -1)
    np.testing.assert_allclose(hessian, root @ root.T / problem.trial.query.advantage.size, rtol=1e-5, atol=1e-8)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_outer_step_against_dense_algebra(make_problem, outer, scale):
    """The step of a dense solve, shortened until the loss falls within the bound; `lr_scale` shortens the first try."""
    problem = make_problem(False)
    gradient, hessian, loss, run = outer
    direction = np.linalg.solve(hessian, gradient)
    full = np.sqrt(2.0 * CONFIG.max_kl / (direction @ hessian @ direction)) * direction
    before, _ = loss(problem.start)
    tries = scale * 0.8 ** np.arange(CONFIG.max_tries)
    after, parts = jax.vmap(loss)(problem.start - tries[:, None] * full)
    first = int(np.argmax((after < before) & (parts["kl"] <= CONFIG.max_kl)))
    assert after[first] < before and parts["kl"][first] <= CONFIG.max_kl

    state = init_run_state(problem.meta, optax.identity(), normalize.init(2), Kept())
    params, metrics = run(state._replace(lr_scale=jnp.array(scale)))
    np.testing.assert_allclose(
        flat(params), problem.start - tries[first] * full, rtol=0.0, atol=1e-4
    )  # steps of tenths
    expected = {"step_size": tries[first], "backtracks": first, "accepted": 1.0, "surrogate": after[first]}
    expected |= {"kl": parts["kl"][first], "surrogate_before": before, "outer_grad_norm": np.linalg.norm(gradient)}
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-3, atol=1e-9, err_msg=name)
    assert metrics["cg_residual"] < 1e-4


@pytest.fixture(scope="module")
def outer(make_problem):
    """Gradient, damped Hessian, compiled loss, and compiled step in two chunks of two tasks."""
    with jax.enable_x64(True):
        problem = make_problem(False)
        loss = jax.jit(problem.loss)
        gradient = np.asarray(jax.jit(jax.grad(lambda x: problem.loss(x)[0]))(problem.start))
        hessian = np.asarray(jax.jit(jax.hessian(lambda x: problem.loss(x)[1]["kl"]))(problem.start))
        run = jax.jit(lambda state: outer_step(CONFIG, problem.inner, state, problem.trial, 2))
    return gradient, hessian + CONFIG.damping * np.eye(len(hessian)), loss, run


# The algorithm.


def test_where_nothing_is_accepted_parameters_stay(make_point, tiny_policy):
    """A whole iteration whose one try, ten thousand times too long, breaks the KL's bound."""
    config = MamlTrpoConfig(num_tasks=2, envs_per_task=4, trust_region=TrustRegionConfig(max_tries=1))
    algorithm = make_algorithm(config, make_point(), tiny_policy, 1)
    state = algorithm.init(jax.random.key(0))._replace(lr_scale=jnp.array(1e4))
    after, metrics = jax.jit(algorithm.iterate)(state, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)
    assert int(after.step) == 1 and metrics["accepted"] == metrics["step_size"] == 0.0 and metrics["kl"] < 1e-6
    assert metrics["surrogate"] == metrics["surrogate_before"] and metrics["backtracks"] == 1
