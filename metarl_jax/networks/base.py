"""What every network is to the rest of the program."""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

from ..errors import ConfigError
from ..types import Array, Key, Params


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Shape of a network."""

    name: str = "mlp"
    """Which network (`metarl list` names them)."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer."""
    activation: Literal["tanh", "relu", "gelu", "swish"] = "tanh"
    """Nonlinearity after each hidden layer."""
    layer_norm: bool = False
    """LayerNorm before each nonlinearity."""

    def __post_init__(self):
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"network hidden sizes must be positive, not {self.hidden}.")


class Film(NamedTuple):
    """What is done to a hidden layer before its nonlinearity: features times `1 + scale`, plus `shift` (arXiv:1709.07871)."""

    scale: Array  # [..., width]
    shift: Array  # [..., width]

    def apply(self, x: Array) -> Array:
        return x * (1.0 + self.scale) + self.shift


class Network(NamedTuple):
    """A network as pure functions."""

    init: Callable[[Key, int], Params]  # key, in_dim
    apply: Callable[..., Array]  # params, [..., in_dim] and, for each of `widths`, a Film or nothing -> [..., out_dim]
    widths: tuple[int, ...] = ()  # of the layers that can be modulated
