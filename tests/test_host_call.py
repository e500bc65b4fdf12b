"""Host functions inside compiled programs, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.envs.physics.host_call import host_call


def moments(x, weights):
    """Sum over the last axis, weighted, and whether it is positive; `[..., 3]`, `{"w": [...]}`."""
    total = (x.sum(axis=-1) * weights["w"]).astype(x.dtype)
    return total, total > 0


def on_host(x, weights):
    result = jax.ShapeDtypeStruct((), x.dtype), jax.ShapeDtypeStruct((), bool)
    return host_call("moments", moments, result, x, weights)


@pytest.mark.parametrize("backend", ["cpu", "other"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_whole_batches_of_any_type(monkeypatch, x64, backend, dtype):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x = np.arange(-12, 12).reshape(2, 4, 3).astype(dtype)
    weights = {"w": np.array([2, -3]).astype(dtype)}
    over_rows = jax.vmap(on_host, (0, None))
    total, positive = jax.jit(jax.vmap(over_rows))(jnp.asarray(x), jax.tree.map(jnp.asarray, weights))
    expected = x.sum(axis=-1) * weights["w"][:, None]
    assert total.dtype == dtype
    np.testing.assert_array_equal(total, expected)
    np.testing.assert_array_equal(positive, expected > 0)


def test_an_empty_batch():
    total, _ = jax.jit(jax.vmap(on_host))(jnp.zeros((0, 3)), {"w": jnp.zeros(0)})
    assert total.shape == (0,)


def test_what_the_function_raises_is_told():
    def fails(x):
        raise ValueError("worlds apart")

    with pytest.raises(jax.errors.JaxRuntimeError, match="worlds apart"):
        jax.block_until_ready(host_call("fails", fails, jax.ShapeDtypeStruct((), float), jnp.zeros(3)))
