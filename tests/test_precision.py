"""Matrix products in bfloat16: where they are, and that runs with them learn as others do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.algorithms import make_algorithm
from metarl_jax.algorithms.critic import CriticConfig
from metarl_jax.errors import ConfigError
from metarl_jax.networks import MEMORIES, MemoryConfig, NetworkConfig, make_memory, make_network

CRITIC = CriticConfig(NetworkConfig(hidden=(11,)))  # a width that nothing else has


def results(jaxpr):
    """Shape and type of the result of every matrix product in a program, those of the programs that it calls among them."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.outvars[0].aval
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(inner, "eqns"):
                yield from results(inner)


def products(fn, *args):
    """Types of the results of all matrix products in a function."""
    return [str(result.dtype) for result in results(jax.make_jaxpr(fn)(*args))]


def test_all_layers_but_the_last():
    network = make_network(NetworkConfig(hidden=(8, 8), layer_norm=True), 2, 1.0, "bfloat16")
    params = network.init(jax.random.key(0), 3)
    assert products(network.apply, params, jnp.ones((4, 3))) == ["bfloat16", "bfloat16", "float32"]
    gradient = jax.grad(lambda p: network.apply(p, jnp.ones((4, 3))).sum())
    assert products(gradient, params).count("bfloat16") == 2 + 3  # of the first layer, only that of its weights
    assert {x.dtype for x in jax.tree.leaves((params, gradient(params)))} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", MEMORIES)
def test_all_products_of_memories(name):
    """But that of the step sizes of `selective`. What a memory holds and says is never rounded."""
    memory = make_memory(MemoryConfig(name, width=8, state=4), "bfloat16")
    params, carry = memory.init(jax.random.key(0), 3), memory.init_carry((2,))
    args = params, carry, jnp.ones((5, 2, 3))
    assert products(memory.unroll, *args).count("float32") == (name == "selective")
    assert products(memory.unroll, *args).count("bfloat16") >= 4
    dtypes = {x.dtype for x in jax.tree.leaves((params, jax.eval_shape(memory.unroll, *args)))}
    assert dtypes <= {np.dtype(np.float32), np.dtype(np.complex64)}


@pytest.fixture(scope="module")
def begin(make_point, tiny_algorithms, policy_for):
    """Name of an algorithm -> it, in bfloat16, on the tiny environment."""

    def make(name):
        config, policy = tiny_algorithms[name], dataclasses.replace(policy_for(name), compute_dtype="bfloat16")
        config = dataclasses.replace(config, critic=CRITIC) if hasattr(config, "critic") else config
        return make_algorithm(config, make_point(), policy, 10)

    return make


@pytest.mark.parametrize(
    "name", ["maml-ppo", "rl2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ppo", "maml-trpo"))]
)
def test_a_run(name, begin):
    """The first ratios are 1 to a rounding, as two programs may round differently; nothing that lasts is of few digits."""
    algorithm = begin(name)
    state, iterate = algorithm.init(jax.random.key(0)), jax.jit(algorithm.iterate)
    for i in range(2):
        state, metrics = iterate(state, jax.random.key(i))
        assert metrics.get("first_ratio_error", 0.0) < 2.0**-7
        assert np.isfinite(metrics["outer_grad_norm"]) and metrics["outer_grad_norm"] > 0.0
    kept = state.params, state.opt_state, state.obs_stats, metrics
    assert {x.dtype for x in jax.tree.leaves(kept)} <= {np.dtype(np.float32), np.dtype(np.int32)}
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


@pytest.mark.parametrize("name", ["ppo", "rl2"])
def test_critics_do_as_policies_do(name, begin):
    algorithm = begin(name)
    program = jax.make_jaxpr(algorithm.iterate)(algorithm.init(jax.random.key(0)), jax.random.key(1))
    critic = [str(result.dtype) for result in results(program) if 11 in result.shape]
    assert critic.count("float32") == 2  # the gradients of the last layer: its weights', and what goes down from it
    assert critic.count("bfloat16") >= 3  # the hidden layer's: twice forward, and its weights' gradient


def test_it_learns(begin):
    """As in float32 (test_algorithms.py): adaptation is worth much more after training."""
    algorithm = begin("maml-ppo")
    state, iterate = algorithm.init(jax.random.key(0)), jax.jit(algorithm.iterate)
    for i in range(150):
        state, metrics = iterate(state, jax.random.key(i))
    assert metrics["return_after"] > metrics["return_before"] + 3.0


def test_unknown_type():
    with pytest.raises(ConfigError, match="did you mean 'bfloat16'"):
        make_network(NetworkConfig(), 2, 1.0, "bfloat")
