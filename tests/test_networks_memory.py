"""Memories: recurrences against NumPy in double precision, what is remembered, initialisations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.errors import ConfigError
from metarl_jax.networks import MEMORIES, MemoryConfig, make_memory, recurrence
from metarl_jax.networks.lru import MAX_PHASE, RADII
from metarl_jax.networks.s5 import STEP_SIZES, hippo_legs

IN_DIM, WIDTH, STATE = 3, 8, 6
every_memory = pytest.mark.parametrize("name", MEMORIES)


def setup(name, length, batch=2, layers=1, compute_dtype="float32"):
    """Memory, parameters, carry and inputs."""
    memory = make_memory(MemoryConfig(name, WIDTH, layers, STATE), compute_dtype)
    xs = jax.random.normal(jax.random.key(0), (length, batch, IN_DIM))
    return memory, init(memory, jax.random.key(2), IN_DIM), memory.init_carry((batch,)), xs


def init(memory, key, in_dim):
    """`memory.init` as one program: compiling each of its operations takes several times as long."""
    return jax.jit(memory.init, static_argnums=1)(key, in_dim)


def assert_close(actual, desired, rtol):
    """Relative to the largest number of each array."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0.0, atol=rtol * np.abs(b).max()), actual, desired)


@every_memory
@pytest.mark.parametrize("batch", [1, 7])
def test_unroll_is_a_scan_of_step(name, batch):
    memory, params, carry, xs = setup(name, 256, batch)

    def steps(carry, xs):
        return jax.lax.scan(lambda carry, x: memory.step(params, carry, x), carry, xs)

    desired = jax.jit(steps)(carry, xs)
    if batch == 1:  # once is enough to see that it works operation by operation
        assert_close(memory.unroll(params, carry, xs), desired, 1e-5)
    assert_close(jax.jit(memory.unroll)(params, carry, xs), desired, 1e-5)
    assert desired[1].shape == (256, batch, WIDTH)
    assert jax.tree.map(jnp.shape, carry) == jax.tree.map(jnp.shape, desired[0])


@every_memory
def test_one_step_without_scan(name):
    """With any batch axes, or none."""
    memory, params, _, xs = setup(name, 1)
    step = jax.jit(memory.step)
    _, out = step(params, memory.init_carry(()), xs[0, 0])
    _, outs = step(params, memory.init_carry((2, 2)), np.stack([xs[0]] * 2))
    assert_close(outs[1, 0], out, 1e-5)


@every_memory
def test_a_carry_continues(name):
    """Also where the parts are shorter than a convolution, or no multiple of a chunk."""
    memory, params, carry, xs = setup(name, 100, layers=2)
    unroll, outs = jax.jit(memory.unroll), []
    whole = unroll(params, carry, xs)
    for start, end in ((0, 2), (2, 51), (51, 100)):
        carry, out = unroll(params, carry, xs[start:end])
        outs.append(out)
    assert_close((carry, jnp.concatenate(outs)), whole, 1e-5)


@every_memory
@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_a_memory_is_of_its_own_past(name, backend, monkeypatch):
    """Another past changes what comes after, in its own row of the batch and in no other; the future changes nothing."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    memory, params, carry, xs = setup(name, 40)
    other = jax.tree.map(lambda x: x.at[1].add(1.0), carry), xs.at[:20, 1].add(1.0)
    unroll = jax.jit(memory.unroll)
    carry_T, outs = unroll(params, carry, xs)
    carry_T_2, outs_2 = unroll(params, *other)
    np.testing.assert_array_equal(outs[:, 0], outs_2[:, 0])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[0]), carry_T, carry_T_2)
    assert (outs[:20, 1] != outs_2[:20, 1]).any() and (outs[20, 1] != outs_2[20, 1]).any()
    _, outs_3 = unroll(params, carry, xs.at[20:].add(1.0))
    np.testing.assert_array_equal(outs[:20], outs_3[:20])
    assert (outs[20] != outs_3[20]).any(axis=1).all()


@pytest.mark.parametrize("name", ["s5", "lru", "selective"])
def test_both_scans_agree(name, monkeypatch):
    """The one for CPU and the one for accelerators, in values and gradients."""
    memory, params, carry, xs = setup(name, 70)

    def run():
        return jax.jit(jax.value_and_grad(lambda p: jnp.square(memory.unroll(p, carry, xs)[1]).sum()))(params)

    used = []
    for scan in ("sequential", "associative"):
        original = getattr(recurrence, scan)
        monkeypatch.setattr(recurrence, scan, lambda *args, f=original, n=scan: used.append(n) or f(*args))
    sequential = run()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert_close(run(), sequential, 1e-4)
    assert set(used[: len(used) // 2]) == {"sequential"} and set(used[len(used) // 2 :]) == {"associative"}


@every_memory
def test_gradients_of_a_long_sequence_are_finite(name):
    memory, params, carry, xs = setup(name, 4096, batch=1)
    gradient = jax.jit(jax.grad(lambda p: memory.unroll(p, carry, xs)[1].sum()))(params)
    for path, leaf in jax.tree.leaves_with_path(gradient):
        assert np.isfinite(leaf).all() and np.any(leaf != 0.0), path


def test_carries_are_donated_and_saved(tmp_path):
    """Complex ones too."""
    ocp = pytest.importorskip("orbax.checkpoint")
    for name in MEMORIES:
        memory, params, carry, xs = setup(name, 4)
        carry, _ = jax.jit(memory.unroll, donate_argnums=1)(params, carry, xs)
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / name, carry)
            checkpointer.wait_until_finished()
            restored = checkpointer.restore(tmp_path / name, jax.eval_shape(lambda c=carry: c))
        jax.tree.map(np.testing.assert_array_equal, restored, carry)


# The whole model once more, in NumPy, one step and one sequence at a time.


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def dense(p, x):
    return x @ p["kernel"] + p.get("bias", 0.0)


def complex_recurrence(a, b, c, d, us):
    x, ys = np.zeros(len(a), complex), []
    for u in us:
        x = a * x + b @ u
        ys.append((c @ x).real + d * u)
    return np.stack(ys)


def numpy_s5(p, us):
    lambda_, step = -np.exp(p["log_decay"]) + 1j * p["frequency"], np.exp(p["log_step"])
    a = np.exp(lambda_ * step)
    b = np.diag((a - 1.0) / lambda_) @ (p["B"][0] + 1j * p["B"][1])
    return complex_recurrence(a, b, 2.0 * (p["C"][0] + 1j * p["C"][1]), p["D"], us)


def numpy_lru(p, us):
    a = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))
    b = np.diag(np.exp(p["gamma_log"])) @ (p["B"][0] + 1j * p["B"][1])
    return complex_recurrence(a, b, p["C"][0] + 1j * p["C"][1], p["D"], us)


def numpy_selective(p, us):
    x, window, ys = np.zeros((WIDTH, STATE)), [np.zeros(WIDTH)] * 3, []
    for u in dense(p["Dense_0"], us):
        window = [u, *window]
        u = silu(p["bias"] + sum(k * w for k, w in zip(p["kernel"], window, strict=True)))
        window = window[:3]
        low_rank, b, c = np.split(dense(p["Dense_1"], u), [1, 1 + STATE])
        delta = np.log1p(np.exp(dense(p["Dense_2"], low_rank)))
        x = np.exp(-delta[:, None] * np.exp(p["A_log"]).T) * x + np.outer(delta * u, b)
        ys.append(dense(p["Dense_3"], x @ c + p["D"] * u))
    return np.stack(ys)


def numpy_gru(p, us):
    h, ys = np.zeros(WIDTH), []
    u_r, u_z, u_n = np.split(p["recurrent"], 3, axis=1)
    for u in dense(p["Dense_0"], us):
        w_r, w_z, w_n = np.split(u, 3)
        z = sigmoid(w_z + h @ u_z)
        n = np.tanh(w_n + sigmoid(w_r + h @ u_r) * (h @ u_n + p["bias"]))
        h = (1.0 - z) * n + z * h
        ys.append(h)
    return np.stack(ys)


def numpy_lstm(p, us):
    c, h, ys = np.zeros(WIDTH), np.zeros(WIDTH), []
    for u in dense(p["Dense_0"], us):
        i, f, o, g = np.split(u + h @ p["recurrent"], 4)
        c = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        ys.append(h)
    return np.stack(ys)


NUMPY = {"s5": numpy_s5, "lru": numpy_lru, "selective": numpy_selective, "gru": numpy_gru, "lstm": numpy_lstm}
LAYERS = {"s5": "S5", "lru": "LRU", "selective": "Selective", "gru": "GRU", "lstm": "LSTM"}


@every_memory
@pytest.mark.parametrize(("compute_dtype", "rtol"), [("float32", 1e-6), ("bfloat16", 1e-2)])
def test_against_numpy(name, compute_dtype, rtol, x64):
    """In double precision where products are not rounded; the rest is double in either."""
    memory, params, carry, xs = setup(name, 80, compute_dtype=compute_dtype)
    # Numbers that no initialisation has: biases that are zero at first would hide what they do.
    leaves, treedef = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    params = treedef.unflatten([np.asarray(x, float) + 0.1 * rng.normal(size=x.shape) for x in leaves])
    _, outs = jax.jit(memory.unroll)(params, carry, xs)
    assert outs.dtype == np.float64
    p = params["params"]
    for i in range(2):
        x = dense(p["Dense_0"], np.asarray(xs[:, i]))
        norm = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        norm = norm * p["LayerNorm_0"]["scale"] + p["LayerNorm_0"]["bias"]
        y = gelu(NUMPY[name](p[f"{LAYERS[name]}_0"], norm))
        expected = x + y * sigmoid(dense(p["Dense_1"], y))
        error = np.abs(outs[:, i] - expected).max() / np.abs(expected).max()
        assert error < rtol and (error > 1e-4) == (compute_dtype == "bfloat16")


def test_hippo_eigenvalues():
    """HiPPO-LegS, plus its rank-one part, entry by entry; diagonalised by a general solver."""
    size = 16
    matrix = np.empty((size, size))
    for n in range(size):
        for k in range(size):
            legs = -np.sqrt((2 * n + 1) * (2 * k + 1)) if n > k else -(n + 1.0) if n == k else 0.0
            matrix[n, k] = legs + 0.5 * np.sqrt((2 * n + 1) * (2 * k + 1))
    eigenvalues = np.linalg.eigvals(matrix)
    lambda_, vectors = hippo_legs(size // 2)
    np.testing.assert_allclose(lambda_, sorted(eigenvalues[eigenvalues.imag > 0], key=np.imag), rtol=1e-8)
    np.testing.assert_allclose(matrix @ vectors, vectors * lambda_, atol=1e-8)
    np.testing.assert_allclose(vectors.conj().T @ vectors, np.eye(size // 2), atol=1e-10)


def test_s5_initialisation():
    params = init(make_memory(MemoryConfig("s5", 64, state=64)), jax.random.key(0), 5)["params"]["S5_0"]
    lambda_ = -np.exp(params["log_decay"]) + 1j * params["frequency"]
    np.testing.assert_allclose(lambda_, hippo_legs(32)[0], rtol=1e-5)
    steps = np.exp(params["log_step"])
    assert STEP_SIZES[0] <= steps.min() < 2e-3 and 5e-2 < steps.max() <= STEP_SIZES[1]


def test_lru_initialisation():
    params = init(make_memory(MemoryConfig("lru", 64, state=2000)), jax.random.key(0), 5)["params"]["LRU_0"]
    radius, phase = np.exp(-np.exp(params["nu_log"])), np.exp(params["theta_log"])
    low, high = RADII
    assert low <= radius.min() and radius.max() <= high and phase.max() <= MAX_PHASE
    uniform = np.sort((radius**2 - low**2) / (high**2 - low**2))
    np.testing.assert_allclose(uniform, np.linspace(0.0, 1.0, 1000), atol=0.05)
    np.testing.assert_allclose(np.sort(phase) / MAX_PHASE, np.linspace(0.0, 1.0, 1000), atol=0.05)
    np.testing.assert_allclose(np.exp(params["gamma_log"]), np.sqrt(1.0 - radius**2), rtol=1e-3)


def test_selective_initialisation():
    params = init(make_memory(MemoryConfig("selective", 256, state=4)), jax.random.key(0), 5)["params"]["Selective_0"]
    np.testing.assert_allclose(np.exp(params["A_log"]), np.arange(1, 5)[:, None] * np.ones(256), rtol=1e-5)
    steps = np.log1p(np.exp(params["Dense_2"]["bias"]))
    assert 0.99 * STEP_SIZES[0] <= steps.min() < 2e-3 and 5e-2 < steps.max() <= 1.01 * STEP_SIZES[1]


@pytest.mark.parametrize("bad", [{"width": 0}, {"layers": 0}, {"state": -2}, {"state": 3}])
def test_bad_sizes(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        MemoryConfig("s5", **bad)


def test_unknown_name():
    with pytest.raises(ConfigError, match="did you mean 'lstm'"):
        make_memory(MemoryConfig("lstn"))


@every_memory
def test_every_field_matters(name, vary):
    """But `state` where there is none."""
    config = MemoryConfig(name, WIDTH, 1, STATE)

    def shapes(config):
        return jax.tree.map(jnp.shape, jax.eval_shape(lambda: make_memory(config).init(jax.random.key(0), 2)))

    for field, other in vary(config):
        assert (shapes(other) == shapes(config)) == (field == "state" and name in ("gru", "lstm")), field
