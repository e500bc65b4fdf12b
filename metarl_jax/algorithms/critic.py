"""The critic of states, shared by PPO and RL^2."""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from ..errors import ConfigError
from ..learning import categorical, losses
from ..networks import NetworkConfig, make_network
from ..types import Array, Key, Params

ATOMS, SPAN = 101, 10.0  # of a two-hot critic: values up to exp(10), 22,000


@dataclasses.dataclass(frozen=True)
class CriticConfig:
    """What predicts the return, and how it learns to."""

    network: NetworkConfig = NetworkConfig()
    """Network that predicts the return, in rl2 from what the memory says."""
    kind: Literal["scalar", "two-hot"] = "scalar"
    """`scalar`: a value, learned by half the mean squared error. `two-hot`: a distribution over values spaced as sinh is, learned
    by cross-entropy, for returns that differ by orders of magnitude (arXiv:2301.04104)."""
    coef: float = 0.5
    """Weight of the critic's loss."""
    clip: float = float("inf")
    """Bound on the change of the value per iteration; inf is none."""
    reward_scale: float = 1.0
    """Factor on rewards in learning (not in what is reported), to bring the critic's targets near 1 to 10."""

    def __post_init__(self):
        if not 0.0 < self.reward_scale < float("inf"):
            raise ConfigError(f"critic.reward_scale must be positive and finite, not {self.reward_scale}.")
        if self.kind == "two-hot" and self.clip < float("inf"):
            raise ConfigError("critic.clip bounds the change of a scalar critic: leave it at inf for a two-hot one.")
        if not (0.0 <= self.coef < float("inf") and self.clip > 0.0):
            raise ConfigError(
                f"critic.coef must be finite and >= 0, not {self.coef}, critic.clip positive, not {self.clip}."
            )


class Critic(NamedTuple):
    """A critic as pure functions."""

    init: Callable[[Key, int], Params]  # key, in_dim
    apply: Callable[[Params, Array], Array]  # [..., in_dim] -> outputs [..., K]
    value: Callable[[Array], Array]  # outputs -> [...]
    loss: Callable[[Array, Array, Array], Array]  # outputs, values before the update, targets [...] -> []


def make_critic(config: CriticConfig, compute_dtype: str) -> Critic:
    """See `CriticConfig.kind`."""
    if config.kind == "scalar":
        network = make_network(config.network, 1, 1.0, compute_dtype)

        def scalar_loss(outputs: Array, before: Array, target: Array) -> Array:
            return losses.value_clip(outputs[..., 0], before, target, config.clip)

        return Critic(network.init, network.apply, lambda outputs: outputs[..., 0], scalar_loss)
    support = categorical.symexp(jnp.linspace(-SPAN, SPAN, ATOMS))
    network = make_network(config.network, ATOMS, 0.01, compute_dtype)  # values near 0 at first

    def loss(outputs: Array, before: Array, target: Array) -> Array:
        return jnp.mean(categorical.cross_entropy(outputs, categorical.two_hot(target, support)))

    return Critic(network.init, network.apply, lambda outputs: jax.nn.softmax(outputs) @ support, loss)
