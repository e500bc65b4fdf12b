"""Networks and memories by name.

To add a network: a file with `make(config, out_dim, out_scale, dtype) -> Network`, a line in NETWORKS and one about it in
names.py. To add a memory: a file with a sequence layer (see `memory.make_stack`), a line in MEMORIES and one in names.py.
"""

import jax.numpy as jnp

from ..errors import lookup
from .base import Network, NetworkConfig
from .gru import GRU
from .lru import LRU
from .lstm import LSTM
from .memory import Memory, MemoryConfig, make_stack
from .mlp import make_mlp
from .residual import make_residual
from .s5 import S5
from .selective import Selective

__all__ = ["MEMORIES", "NETWORKS", "Memory", "MemoryConfig", "Network", "NetworkConfig", "make_memory", "make_network"]

NETWORKS = {"mlp": make_mlp, "residual": make_residual}
MEMORIES = {"s5": S5, "lru": LRU, "selective": Selective, "gru": GRU, "lstm": LSTM}

DTYPES = {"float32": float, "bfloat16": jnp.bfloat16}  # of matrix products; `float` is double where JAX is told so


def make_network(config: NetworkConfig, out_dim: int, out_scale: float, compute_dtype: str = "float32") -> Network:
    """The network that `config.name` names; `out_scale` is the gain of its last layer's initialisation."""
    make = lookup(config.name, NETWORKS, "network")
    return make(config, out_dim, out_scale, lookup(compute_dtype, DTYPES, "compute dtype"))


def make_memory(config: MemoryConfig, compute_dtype: str = "float32") -> Memory:
    """The memory that `config.name` names."""
    make_layer = lookup(config.name, MEMORIES, "memory")
    return make_stack(config, make_layer, lookup(compute_dtype, DTYPES, "compute dtype"))
