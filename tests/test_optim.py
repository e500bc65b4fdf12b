"""The outer optimiser against Adam written in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.errors import ConfigError
from metarl_jax.learning import normalize
from metarl_jax.learning.optim import OptimizerConfig, apply_gradients, init_run_state, make_optimizer, make_schedule
from metarl_jax.types import Kept

pytestmark = pytest.mark.usefixtures("strict_ranks")

NUM = 100
CONSTANT = [0.01, 0.01, 0.01]


@pytest.mark.parametrize(
    ("kind", "final", "expected"),  # at the start, in the middle, at the end
    [
        ("constant", 0.0, CONSTANT),
        ("constant", 0.5, CONSTANT),
        ("linear", 0.0, [0.01, 0.005, 0.0]),
        ("linear", 0.2, [0.01, 0.006, 0.002]),
        ("cosine", 0.0, [0.01, 0.005, 0.0]),
        ("cosine", 0.2, [0.01, 0.006, 0.002]),
    ],
)
def test_schedules(kind, final, expected):
    schedule = make_schedule(OptimizerConfig(lr=0.01, lr_schedule=kind, lr_final=final), NUM)
    np.testing.assert_allclose([schedule(i) for i in (0, NUM // 2, NUM)], expected, rtol=1e-5, atol=1e-9)


def test_cosine_between():
    schedule = make_schedule(OptimizerConfig(lr=0.01, lr_schedule="cosine"), NUM)
    np.testing.assert_allclose(schedule(25), 0.005 * (1.0 + np.cos(np.pi * 0.25)), rtol=1e-5)


@pytest.mark.parametrize(("kind", "middle", "end"), [("constant", 0.01, 0.01), ("linear", 0.005, 0.0)])
def test_warmup(kind, middle, end):
    """Rises over the first fifth; the main schedule takes the rest."""
    schedule = make_schedule(OptimizerConfig(lr=0.01, lr_schedule=kind, warmup=0.2), NUM)
    np.testing.assert_allclose(
        [schedule(i) for i in (0, 10, 20, 60, 100)], [0.0, 0.005, 0.01, middle, end], rtol=1e-5, atol=1e-9
    )


def numpy_adam(params, all_grads, rates, max_norm):
    """Adam (b1 0.9, b2 0.999, eps 1e-5) on gradients scaled to a norm over all parameters together."""
    params = {name: p.astype(np.float64) for name, p in params.items()}
    m, v = ({name: np.zeros_like(p) for name, p in params.items()} for _ in range(2))
    for t, (grads, rate) in enumerate(zip(all_grads, rates, strict=True), start=1):
        norm = np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in grads.values()))
        for name, p in params.items():
            g = grads[name] * min(1.0, max_norm / norm)
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g**2
            p -= rate * (m[name] / (1 - 0.9**t)) / (np.sqrt(v[name] / (1 - 0.999**t)) + 1e-5)
    return params


def run(config, params, all_grads, lr_scale=1.0):
    optimizer = make_optimizer(config, len(all_grads))
    state = init_run_state(params, optimizer, normalize.init(1), Kept())._replace(lr_scale=jnp.array(lr_scale))
    for grads in all_grads:
        state = apply_gradients(optimizer, state, grads)
    return state


def problem():
    rng = np.random.default_rng(0)
    params = {"a": rng.normal(size=(2, 3)).astype(np.float32), "b": rng.normal(size=4).astype(np.float32)}
    # Norms from far below to far above the bound.
    grads = [
        {name: (scale * rng.normal(size=p.shape)).astype(np.float32) for name, p in params.items()}
        for scale in (0.05, 5.0, 0.3, 40.0, 0.1)
    ]
    return params, grads


@pytest.mark.parametrize("max_norm", [0.7, float("inf")])
def test_adam_with_clipping_by_global_norm(max_norm):
    params, grads = problem()
    config = OptimizerConfig(lr=0.02, lr_schedule="linear", max_grad_norm=max_norm)
    rates = [0.02 * (1 - i / len(grads)) for i in range(len(grads))]
    expected = numpy_adam(params, grads, rates, max_norm)
    state = run(config, params, grads)
    for name in params:
        np.testing.assert_allclose(state.params[name], expected[name], rtol=1e-5, atol=1e-6)


def test_lr_scale_scales_the_step_and_nothing_else():
    params, grads = problem()
    config = OptimizerConfig(lr=0.02)
    whole, half = (run(config, params, grads[:1], scale) for scale in (1.0, 0.5))
    for name in params:
        np.testing.assert_allclose(
            half.params[name] - params[name], 0.5 * (whole.params[name] - params[name]), rtol=1e-3, atol=1e-7
        )
    jax.tree.map(np.testing.assert_array_equal, half.opt_state, whole.opt_state)


@pytest.mark.parametrize(
    "bad",
    [
        {"lr": 0.0},
        {"lr": -1e-3},
        {"lr": float("nan")},
        {"lr": float("inf")},
        {"max_grad_norm": 0.0},
        {"max_grad_norm": float("nan")},
        {"lr_final": -0.1},
        {"lr_final": float("nan")},
        {"warmup": 1.0},
        {"warmup": float("nan")},
    ],
)
def test_bad_values(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        OptimizerConfig(**bad)
