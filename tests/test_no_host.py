"""On `warp` and `mjx` nothing of an iteration goes back to the host."""

import dataclasses
import importlib.util

import jax
import pytest

from metarl_jax.algorithms import make_algorithm
from metarl_jax.envs import make
from metarl_jax.types import Suite

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("warp") is None, reason="warp is not installed"),
    pytest.mark.filterwarnings("ignore:Mesh:UserWarning", "ignore:MULTICCD:UserWarning"),  # MJX on the scenes' shapes
]

# How JAX and this package call Python from a program.
CALLBACKS = (
    "xla_python_cpu_callback",
    "xla_python_gpu_callback",
    "xla_ffi_python",
    "xla_ffi_partitioned_python",
    "metarl_host_call",
)
SMALL = [("cheetah-dir", "warp")]
LARGE = [("cheetah-dir", "mjx"), ("ant-dir", "warp")]
LARGE += [("metaworld/ML10", "warp"), ("metaworld/MT50", "warp"), ("metaworld/box-close-v3", "warp")]


def lowered(env, config, policy):
    algorithm = make_algorithm(config, env, policy, 3)
    state = jax.eval_shape(algorithm.init, jax.random.key(0))
    return jax.jit(algorithm.iterate).lower(state, jax.random.key(1)).as_text()


@pytest.mark.parametrize("name", ["maml-ppo", "maml-trpo", "rl2", "ppo"])
@pytest.mark.parametrize(
    ("env_name", "physics"), [*SMALL, *(pytest.param(*each, marks=pytest.mark.slow) for each in LARGE)]
)
def test_no_callback_in_an_iteration(env_name, physics, name, tiny_algorithms, policy_for):
    env = make(env_name, physics=physics, horizon=4)
    members = len(env.envs) if isinstance(env, Suite) else 1
    config = dataclasses.replace(tiny_algorithms[name], num_tasks=2 * members, envs_per_task=2)
    program = lowered(env, config, policy_for(name))
    assert not [word for word in CALLBACKS if word in program]
    if physics == "warp":
        assert "move_" in program  # one call for all members of a suite
    assert "custom_call" in program or physics == "mjx"


def test_the_words_are_those_of_callbacks():
    """Such calls are found where they are."""
    env = make("cheetah-dir", physics="mujoco")
    state = jax.eval_shape(env.reset, jax.random.key(0), jax.ShapeDtypeStruct((), "float32"))[0]
    action = jax.ShapeDtypeStruct((6,), "float32")
    ours = jax.jit(env.step).lower(state, action, jax.ShapeDtypeStruct((), "float32")).as_text()
    jaxs = jax.jit(lambda x: jax.pure_callback(lambda x: x, x, x)).lower(action).as_text()
    assert all(any(word in program for word in CALLBACKS) for program in (ours, jaxs))
