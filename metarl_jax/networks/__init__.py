"""Networks by name. To add one: a file with `make(config, out_dim, out_scale) -> Network`, and a line in NETWORKS."""

from ..errors import lookup
from .base import Network, NetworkConfig
from .mlp import make_mlp

__all__ = ["NETWORKS", "Network", "NetworkConfig", "make_network"]

NETWORKS = {"mlp": (make_mlp, "multi-layer perceptron, orthogonal initialisation, optional LayerNorm")}


def make_network(config: NetworkConfig, out_dim: int, out_scale: float) -> Network:
    """The network that `config.name` names; `out_scale` is the gain of its last layer's initialisation."""
    make, _ = lookup(config.name, NETWORKS, "network")
    return make(config, out_dim, out_scale)
