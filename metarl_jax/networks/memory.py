"""What every memory (a sequence model) is to the rest of the program, and the stack that all of them stand in."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from ..errors import ConfigError
from ..types import Array, DType, Key, Params
from .recurrence import on_rows

Carry = Any  # a pytree of real or complex arrays `[*B, ...]`: what is remembered


@dataclasses.dataclass(frozen=True)
class MemoryConfig:
    """What a policy remembers of the steps before."""

    name: str = "none"
    """Which sequence model (`metarl list` names them), or `none`."""
    width: int = 128
    """Features of each layer and of the output; also the units of `gru` and `lstm`."""
    layers: int = 1
    """Blocks of LayerNorm, sequence layer and gated output, each with a residual connection."""
    state: int = 64
    """Size of each layer's state: `s5` and `lru` hold half as many complex numbers; `selective`
    has as many real ones for every feature (16 are usual). `gru` and `lstm` have none but their units."""

    def __post_init__(self):
        for field in ("width", "layers", "state"):
            if getattr(self, field) < 1:
                raise ConfigError(f"memory {field} must be positive, not {getattr(self, field)}.")
        if self.state % 2:
            raise ConfigError(f"memory state must be even, not {self.state}: a complex number counts twice.")


class Memory(NamedTuple):
    """A sequence model as pure functions. What it remembers lasts until the caller begins with a new carry.

    Shapes: `*B` are any axes of a batch, T time steps. `unroll` is T times `step`, but faster.
    """

    init: Callable[[Key, int], Params]  # key, in_dim
    init_carry: Callable[[tuple[int, ...]], Carry]  # B -> zeros
    step: Callable[[Params, Carry, Array], tuple[Carry, Array]]  # [*B, in_dim] -> [*B, width]
    unroll: Callable[[Params, Carry, Array], tuple[Carry, Array]]  # [T, *B, in_dim] -> [T, *B, width]


class _Stack(nn.Module):
    config: MemoryConfig
    make_layer: Callable[[MemoryConfig, DType], nn.Module]
    dtype: DType

    @nn.compact
    def __call__(self, carry, xs):
        """Pre-norm residual blocks, whose output is gated as in S5 (arXiv:2208.04933, appendix G.1)."""
        xs, carry_T = on_rows(nn.Dense(self.config.width, dtype=self.dtype), xs), []
        for _, layer_carry in zip(range(self.config.layers), carry, strict=True):
            layer_carry, ys = self.make_layer(self.config, self.dtype)(layer_carry, nn.LayerNorm()(xs))
            ys = nn.gelu(ys)
            xs = xs + ys * nn.sigmoid(on_rows(nn.Dense(self.config.width, dtype=self.dtype), ys))
            carry_T.append(layer_carry)
        return tuple(carry_T), xs


def make_stack(config: MemoryConfig, make_layer: Callable[[MemoryConfig, DType], nn.Module], dtype: DType) -> Memory:
    """`config.layers` blocks around sequence layers.

    Args:
      config: of the memory.
      make_layer: gives, from `config` and `dtype`, a module with `init_carry(batch_shape)` and
        `(carry, [T, *B, width]) -> carry, [T, *B, width]`.
      dtype: of matrix products; sequences and carries are float32.
    """
    stack: Any = _Stack(config, make_layer, dtype)  # flax's types leave open what `apply` gives

    def init(key: Key, in_dim: int) -> Params:
        return stack.init(key, init_carry(()), jnp.zeros((1, in_dim)))

    def init_carry(batch_shape: tuple[int, ...]) -> Carry:
        return tuple(make_layer(config, dtype).init_carry(batch_shape) for _ in range(config.layers))

    def step(params: Params, carry: Carry, x: Array) -> tuple[Carry, Array]:
        carry, outs = stack.apply(params, carry, x[None])
        return carry, outs[0]

    return Memory(init, init_carry, step, stack.apply)
