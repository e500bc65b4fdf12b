"""Memories over one long sequence: forward, forward and backward, memory, compilation."""

import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp

from ..networks import MEMORIES, MemoryConfig, make_memory
from . import timing

BATCH, LENGTH, IN_DIM = 64, 1024, 32
STATE = {"selective": 16}  # of every feature, as in its paper; the others as MemoryConfig has it
REPEATS = 7


def measure() -> list[dict[str, Any]]:
    """One row per memory."""
    configs = {name: MemoryConfig(name, state=STATE.get(name, MemoryConfig.state)) for name in MEMORIES}
    compiled = {name: _compile(config) for name, config in configs.items()}
    runs = {(name, way): compiled[name][way] for name in configs for way in ("forward", "gradient")}
    median = {key: statistics.median(values) for key, values in timing.in_turn(runs, REPEATS).items()}
    return [
        {
            "memory": name,
            "state": "-" if name in ("gru", "lstm") else str(config.state),
            "forward_ms": 1e3 * median[name, "forward"],
            "forward_backward_ms": 1e3 * median[name, "gradient"],
            "steps_per_second": BATCH * LENGTH / median[name, "gradient"],
            "speed_of_gru": median["gru", "gradient"] / median[name, "gradient"],
            "speed_of_lstm": median["lstm", "gradient"] / median[name, "gradient"],
            "temporary_mb": compiled[name]["temporary_mb"],
            "compile_seconds": compiled[name]["compile_seconds"],
            "note": f"batch {BATCH}, {LENGTH} steps, width {config.width}, {config.layers} layer, median of {REPEATS}",
        }
        for name, config in configs.items()
    ]


def _compile(config: MemoryConfig) -> dict[str, Any]:
    memory = make_memory(config)
    xs = jax.random.normal(jax.random.key(0), (LENGTH, BATCH, IN_DIM))
    inputs = memory.init(jax.random.key(2), IN_DIM), memory.init_carry((BATCH,)), xs

    def loss(params, carry, xs):
        return jnp.square(memory.unroll(params, carry, xs)[1]).mean()

    start = time.perf_counter()
    gradient = jax.jit(jax.value_and_grad(loss)).lower(*inputs).compile()
    compile_seconds = time.perf_counter() - start
    forward = jax.jit(loss).lower(*inputs).compile()
    return {
        "forward": lambda: jax.block_until_ready(forward(*inputs)),
        "gradient": lambda: jax.block_until_ready(gradient(*inputs)),
        "temporary_mb": gradient.memory_analysis().temp_size_in_bytes / 1e6,
        "compile_seconds": compile_seconds,
    }
