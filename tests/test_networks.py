"""Initialisation and networks, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.errors import ConfigError
from metarl_jax.networks import MEMORIES, MemoryConfig, NetworkConfig, make_memory, make_network
from metarl_jax.networks.conditioned import make_conditioned
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


CONDITIONED = [("film", "mlp"), ("film", "residual"), ("generated", "mlp"), ("generated", "residual")]


@pytest.mark.parametrize(("kind", "name"), CONDITIONED)
def test_a_conditioned_network_begins_as_the_plain_one(kind, name):
    """Whatever the condition; but each condition has a gradient of its own in what it adds."""
    plain = make_network(NetworkConfig(name, hidden=(6, 6)), 3, 0.5)
    network = make_conditioned(kind, plain, 2)
    params = network.init(jax.random.key(0), 4 + 2)
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(5, 7, 6)), jnp.float32)
    expected = plain.apply(plain.init(jax.random.key(0), 4), inputs[..., :4])
    np.testing.assert_allclose(network.apply(params, inputs), expected, rtol=1e-5, atol=1e-6)
    grads = jax.grad(lambda p: (network.apply(p, inputs) ** 2).sum())(params)
    assert all(np.abs(x).max() > 0.0 for x in jax.tree.leaves(grads[kind]))
    other = jax.tree.map(lambda x, g: x - 0.1 * g, params, grads)
    changed = network.apply(other, inputs.at[..., 4:].set(0.3)) - network.apply(other, inputs.at[..., 4:].set(-0.3))
    assert np.abs(changed).max() > 1e-3


def test_film_and_generated_weights(x64):
    """One hidden layer, in NumPy."""
    rng, config = np.random.default_rng(0), NetworkConfig(hidden=(5,))
    plain = make_network(config, 3, 0.5)
    inputs = rng.normal(size=(4, 6))
    for kind in ("film", "generated"):
        network = make_conditioned(kind, plain, 2)
        params = jax.tree.map(lambda x: x + rng.normal(size=x.shape), network.init(jax.random.key(0), 6))
        ours = network.apply(params, jnp.asarray(inputs))
        first, last = (
            {name: np.asarray(x) for name, x in params["plain"]["params"][f"Dense_{i}"].items()} for i in (0, 1)
        )
        for row, (x, c) in enumerate(zip(inputs[:, :4], inputs[:, 4:], strict=True)):
            if kind == "film":
                film = jax.tree.map(np.asarray, params["film"][0])
                hidden = (x @ first["kernel"] + first["bias"]) * (1 + c @ film.scale) + c @ film.shift
                expected = np.tanh(hidden) @ last["kernel"] + last["bias"]
            else:
                added = jax.tree.map(lambda w, c=c: np.tensordot(c, w, axes=1), params["generated"]["params"])
                a, b = added["Dense_0"], added["Dense_1"]
                hidden = np.tanh(x @ (first["kernel"] + a["kernel"]) + first["bias"] + a["bias"])
                expected = hidden @ (last["kernel"] + b["kernel"]) + last["bias"] + b["bias"]
            np.testing.assert_allclose(ours[row], expected, rtol=1e-9)
