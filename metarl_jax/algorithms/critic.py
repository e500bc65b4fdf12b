"""The critic, shared by PPO and RL^2: its knobs and its network."""

import dataclasses

from ..errors import ConfigError
from ..networks import Network, NetworkConfig, make_network


@dataclasses.dataclass(frozen=True)
class CriticConfig:
    """What predicts the return, and how it learns to."""

    network: NetworkConfig = NetworkConfig()
    """Network that predicts the return, in rl2 from what the memory says."""
    coef: float = 0.5
    """Weight of the critic's loss, which is half the mean squared error."""
    clip: float = float("inf")
    """Bound on the change of the value per iteration; inf is none."""
    reward_scale: float = 1.0
    """Factor on rewards in learning (not in what is reported), to bring the critic's targets near 1 to 10."""

    def __post_init__(self):
        if not 0.0 < self.reward_scale < float("inf"):
            raise ConfigError(f"critic.reward_scale must be positive and finite, not {self.reward_scale}.")
        if not (0.0 <= self.coef < float("inf") and self.clip > 0.0):
            raise ConfigError(
                f"critic.coef must be finite and >= 0, not {self.coef}, critic.clip positive, not {self.clip}."
            )


def make_critic(config: CriticConfig, compute_dtype: str) -> Network:
    """The network, with one output."""
    return make_network(config.network, 1, 1.0, compute_dtype)
