"""Critics of actions, Q(s, a): an ensemble under one vmap, that says a value or a distribution over values."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from ..errors import ConfigError
from ..learning import categorical
from ..networks import NetworkConfig, make_network
from ..networks.labels import Inputs
from ..types import Array, EnvSpec, Key, Params


@dataclasses.dataclass(frozen=True)
class QCriticConfig:
    """Knobs of the critics."""

    network: NetworkConfig = NetworkConfig(hidden=(256, 256), activation="relu")
    """Network that sees observation and action; its width is what counts most on many tasks (arXiv:2503.05126)."""
    ensemble: int = 2
    """Networks."""
    kind: Literal["plain", "categorical"] = "plain"
    """`plain`: a value, and the ensemble's least is believed (arXiv:1812.05905). `categorical`: a distribution over `atoms`,
    learned by cross-entropy, and the ensemble's mean is believed (arXiv:2505.23150)."""
    atoms: int = 101
    """Values that a `categorical` critic tells apart."""
    limit: float = 10.0
    """The atoms lie in +-this; see `scale_rewards`."""
    scale_rewards: bool = False
    """Rewards of a task, of a suite of each of its environments, in units in which the greatest discounted return is `limit`."""

    def __post_init__(self):
        if self.ensemble < 1 or self.atoms < 2 or not 0.0 < self.limit < float("inf"):
            raise ConfigError("critic: ensemble must be at least 1, atoms at least 2, limit positive and finite.")


class QCritic(NamedTuple):
    """An ensemble of critics as pure functions; K is 1 of a plain critic, else the number of atoms."""

    init: Callable[[Key], Params]
    apply: Callable[
        [Params, Array, Array], Array
    ]  # obs [B, obs_dim], action [B, action_dim] -> outputs [ensemble, B, K]
    value: Callable[[Array], Array]  # outputs -> what is believed [B]
    expect: Callable[[Array], Array]  # a target [B, K] -> its mean [B]
    target: Callable[[Array, Array, Array, Array], Array]  # outputs at s', reward, discount, bonus [B] -> [B, K]
    loss: Callable[[Array, Array], Array]  # outputs, target -> mean over critics and rows, []


def make_q_critic(config: QCriticConfig, spec: EnvSpec, inputs: Inputs, compute_dtype: str) -> QCritic:
    """See `QCriticConfig.kind`; what is learned of labels is the ensemble's together."""
    size = config.atoms if config.kind == "categorical" else 1
    make = functools.partial(make_network, config.network, out_scale=1.0, compute_dtype=compute_dtype)
    network = inputs.network(make, size)
    in_dim = spec.action_dim + spec.obs_dim + inputs.added

    def init(key: Key) -> Params:
        key_vectors, *keys = jax.random.split(key, 1 + config.ensemble)
        networks = jax.vmap(lambda k: network.init(k, in_dim))(jnp.stack(keys))
        return {"networks": networks, "vectors": inputs.init(key_vectors)}

    def apply(params: Params, obs: Array, action: Array) -> Array:
        seen = jnp.concatenate([action, inputs.see(params["vectors"], obs)], axis=-1)  # a label stays last
        return jax.vmap(network.apply, in_axes=(0, None))(params["networks"], seen)

    if config.kind == "plain":
        return QCritic(init, apply, _least, lambda target: target[:, 0], _plain_target, _squared_error)
    support = categorical.atoms(config.atoms, config.limit)

    def value(outputs: Array) -> Array:
        return jnp.mean(jax.nn.softmax(outputs) @ support, axis=0)

    def target(outputs: Array, reward: Array, discount: Array, bonus: Array) -> Array:
        probs = jnp.mean(jax.nn.softmax(outputs), axis=0)
        values = reward[:, None] + discount[:, None] * (support + bonus[:, None])
        return categorical.project(values, probs, support)

    def loss(outputs: Array, probs: Array) -> Array:
        return jnp.mean(categorical.cross_entropy(outputs, probs))

    return QCritic(init, apply, value, lambda probs: probs @ support, target, loss)


def _least(outputs: Array) -> Array:
    return jnp.min(outputs[..., 0], axis=0)


def _plain_target(outputs: Array, reward: Array, discount: Array, bonus: Array) -> Array:
    return (reward + discount * (_least(outputs) + bonus))[:, None]


def _squared_error(outputs: Array, target: Array) -> Array:
    return 0.5 * jnp.mean((outputs - target) ** 2)
