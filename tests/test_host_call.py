"""Host functions inside compiled programs, against NumPy."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import envs
from metarl_jax.envs.physics import mujoco as c_backend
from metarl_jax.envs.physics.host_call import host_call


def moments(x, weights):
    """Sum over the last axis, weighted, and whether it is positive; `[..., 3]`, `{"w": [...]}`."""
    total = (x.sum(axis=-1) * weights["w"]).astype(x.dtype)
    return total, total > 0


KEEP = {}


def on_host(x, weights):
    result = jax.ShapeDtypeStruct((), x.dtype), jax.ShapeDtypeStruct((), bool)
    return host_call("moments", moments, result, x, weights, keep=KEEP)


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

    def call(x):
        return host_call("fails", fails, jax.ShapeDtypeStruct((), "float32"), x, keep=KEEP)

    with pytest.raises(jax.errors.JaxRuntimeError, match="worlds apart"):
        jax.block_until_ready(jax.jit(call)(jnp.zeros(3)))
    with pytest.raises(ValueError, match="worlds apart"):
        call(jnp.zeros(3))


def test_outside_of_a_program():
    total, positive = on_host(jnp.arange(3.0), {"w": jnp.asarray(-2.0)})
    assert (float(total), bool(positive)) == (-6.0, False) and total.dtype == jnp.float32


def first_reward(env):
    """A program that resets and steps two worlds of HalfCheetah, and what it is to be called with."""

    def rewards(keys):
        states, _ = jax.vmap(env.reset)(keys, jnp.ones(2))
        return jax.vmap(env.step)(states, jnp.ones((2, 6)), jnp.ones(2))[1].reward

    return jax.jit(rewards), jax.random.split(jax.random.key(0), 2)


def test_physics_goes_with_what_calls_it(monkeypatch):
    """Environment and programs gone, so is the physics; a program alone keeps it, also where another one of its name goes."""

    monkeypatch.setattr(c_backend, "digest", lambda model: "of no other test")

    def physics_and_program():
        env = envs.make("cheetah-dir", physics="mujoco")
        program, keys = first_reward(env)
        compiled = program.lower(keys).compile()
        program(keys).block_until_ready()
        return weakref.ref(env.physics), compiled

    keys = jax.random.split(jax.random.key(0), 2)
    first, program = physics_and_program()
    second, other = physics_and_program()
    gc.collect()
    expected = np.asarray(program(keys))
    np.testing.assert_array_equal(other(keys), expected)
    del other
    gc.collect()
    assert second() is None and first() is not None
    np.testing.assert_array_equal(program(keys), expected)
    del program
    gc.collect()
    assert first() is None
    _, program = physics_and_program()
    np.testing.assert_array_equal(program(keys), expected)
