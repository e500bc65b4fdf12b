"""Initialisation and networks, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.errors import ConfigError
from metarl_jax.networks import MEMORIES, MemoryConfig, NetworkConfig, make_memory, make_network
from metarl_jax.networks.orthogonal import orthogonal


@pytest.mark.parametrize("shape", [(40, 40), (5, 30), (30, 5), (7, 1)])
def test_orthogonal_initialisation(shape):
    """Q of NumPy's QR in double precision, columns' signs such that the diagonal of R is positive."""
    key = jax.random.key(3)
    ours = np.asarray(orthogonal(1.5)(key, shape, jnp.float32))
    normal = np.asarray(jax.random.normal(key, (max(shape), min(shape))), np.float64)
    q, r = np.linalg.qr(normal)
    q = 1.5 * q * np.sign(np.diag(r))
    np.testing.assert_allclose(ours, q if shape[0] >= shape[1] else q.T, atol=1e-5)
    gram = ours.T @ ours if shape[0] >= shape[1] else ours @ ours.T
    np.testing.assert_allclose(gram, 2.25 * np.eye(min(shape)), atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "residual", *MEMORIES])
def test_no_network_is_initialised_by_lapack(name):
    """Batches of its factorisations can wait for each other for ever."""
    if name in MEMORIES:
        memory = make_memory(MemoryConfig(name, width=8, state=4))
        init = lambda key: memory.init(key, 3)  # noqa: E731
    else:
        network = make_network(NetworkConfig(name, hidden=(6, 6)), 3, 0.5)
        init = lambda key: network.init(key, 4)  # noqa: E731
    program = jax.jit(jax.vmap(init)).lower(jax.random.split(jax.random.key(0), 2)).as_text()
    assert "lapack" not in program


def test_residual_network(x64):
    """Dense, LayerNorm, ReLU; blocks of Dense, LayerNorm, ReLU, Dense, LayerNorm added to their input; a linear layer."""
    network, rng = (
        make_network(NetworkConfig("residual", hidden=(6, 6), activation="relu"), 3, 0.5),
        np.random.default_rng(0),
    )
    params = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape), network.init(jax.random.key(0), 4))
    inputs = rng.normal(size=(5, 4))

    def layer(i, x):
        dense, norm = params["params"][f"Dense_{i}"], params["params"][f"LayerNorm_{i}"]
        x = x @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * np.asarray(norm["scale"]) + np.asarray(norm["bias"])

    relu = lambda x: np.maximum(x, 0.0)  # noqa: E731
    x = relu(layer(0, inputs))
    x = x + layer(2, relu(layer(1, x)))
    x = x + layer(4, relu(layer(3, x)))
    last = params["params"]["Dense_5"]
    np.testing.assert_allclose(
        network.apply(params, inputs), x @ last["kernel"] + last["bias"], rtol=1e-5
    )  # flax normalises in single precision
    with pytest.raises(ConfigError, match=r"hidden sizes must be equal, not \(6, 5\)"):
        make_network(NetworkConfig("residual", hidden=(6, 5)), 3, 0.5)
