"""Beliefs of a memory that are trained to explain the whole trial, past and future (VariBAD, arXiv:1910.08348)."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..errors import ConfigError
from ..networks import NetworkConfig, make_network
from ..types import Array, EnvSpec, Key, Metrics, Params


@dataclasses.dataclass(frozen=True)
class BeliefConfig:
    """A Gaussian belief of the task, read from the memory; the policy's loss does not train it, nor the memory."""

    latent: int = 0
    """Numbers that a task is described by; 0: no belief, the policy sees what its memory says."""
    decoder: NetworkConfig = NetworkConfig(hidden=(64, 32), activation="relu")
    """Network that predicts a step's reward from a draw of the belief, observation, action and next observation."""
    next_obs: bool = False
    """Another one predicts next observations, without seeing them; where tasks differ by their dynamics."""
    kl_coef: float = 0.1
    """Weight of the beliefs' divergence from the belief a step before, of the first from a standard Gaussian."""
    terms: int = 25
    """Steps of a trial whose beliefs are made to explain it."""
    decoded: int = 100
    """Steps of a trial that each of these predicts, at most."""
    dropout: float = 0.0
    """Share of the numbers that decoders see beside the belief which is hidden from them while they learn, so that they have to
    make use of it (LDM, arXiv:2105.13524)."""
    virtual: float = 0.0
    """Share of an iteration's tasks whose rewards are those that the decoder gives where two tasks' beliefs are mixed."""
    lr: float = 1e-3
    """Learning rate of memory, belief and decoders."""

    def __post_init__(self):
        if self.latent < 0 or min(self.terms, self.decoded) < 1:
            raise ConfigError("belief.latent must be at least 0, belief.terms and belief.decoded 1.")
        if not (0.0 <= self.kl_coef < float("inf") and 0.0 < self.lr < float("inf")):
            raise ConfigError("belief.kl_coef must be finite and >= 0, belief.lr positive and finite.")
        if not (0.0 <= self.dropout < 1.0 and 0.0 <= self.virtual < 1.0):
            raise ConfigError("belief.dropout and belief.virtual must lie in [0, 1).")


class Choice(NamedTuple):
    """What is drawn for the trials of an iteration."""

    belief: Array  # [terms] int, steps whose beliefs are decoded
    decoded: Array  # [decoded] int, steps that they predict; each is followed by another
    noise: Any  # [terms, B, latent], of B trials; () where trials have theirs with them
    weight: Any  # [B], 1 in the mean of all, 0 where rewards are made up: those explain nothing; or () likewise
    key: Key  # of dropout


class Decoder(NamedTuple):
    """What a belief says of a trial."""

    init: Callable[[Key], Params]
    elbo: Callable[[Params, Array, Array, Choice], tuple[Array, Metrics]]
    """Parameters, what the memory saw `[T, B, input_size]`, mean and standard deviation of its beliefs `[T, B, 2 latent]`, and
    what was drawn for these trials -> the negative ELBO's weighted mean over trials and beliefs, and its parts."""
    reward: Callable[[Params, Array, Array, Array, Array], Array]
    """Parameters, latents `[..., latent]`, and `[..., size]` observations, actions and next observations (zeros at the end of an
    episode), standardised as the memory sees them -> rewards `[...]`, likewise."""


def choose(config: BeliefConfig, key: Key, num_steps: int, num_trials: int) -> Choice:
    """Draws for trials of T = `num_steps` steps."""
    key_belief, key_decoded, key_noise, key_dropout = jax.random.split(key, 4)
    count = min(config.decoded, num_steps - 1)
    return Choice(
        jax.random.randint(key_belief, (config.terms,), 0, num_steps),
        jax.random.choice(key_decoded, num_steps - 1, (count,), replace=False),
        jax.random.normal(key_noise, (config.terms, num_trials, config.latent)),
        jnp.ones(num_trials),
        key_dropout,
    )


def make_decoder(config: BeliefConfig, spec: EnvSpec, compute_dtype: str) -> Decoder:
    """See `BeliefConfig`. Rewards and observations are predicted as the memory sees them, standardised or not."""
    obs_dim, action_dim = spec.obs_dim, spec.action_dim
    reward_net = make_network(config.decoder, 1, 1.0, compute_dtype)
    obs_net = make_network(config.decoder, obs_dim, 1.0, compute_dtype)

    def init(key: Key) -> Params:
        key_reward, key_obs = jax.random.split(key)
        params = {"reward": reward_net.init(key_reward, config.latent + 2 * obs_dim + action_dim)}
        if config.next_obs:
            params["obs"] = obs_net.init(key_obs, config.latent + obs_dim + action_dim)
        return params

    def reward_of(params: Params, *seen: Array) -> Array:
        return reward_net.apply(params["reward"], jnp.concatenate(seen, axis=-1))[..., 0]

    def elbo(params: Params, inputs: Array, beliefs: Array, choice: Choice) -> tuple[Array, Metrics]:
        mean, std = jnp.split(beliefs[choice.belief], 2, axis=-1)  # [terms, B, latent]
        before, then = inputs[choice.decoded], inputs[choice.decoded + 1]  # [decoded, B, input_size]
        obs, next_obs, reward = before[..., :obs_dim], then[..., :obs_dim], then[..., obs_dim]
        action, last = then[..., obs_dim + 1 : obs_dim + 1 + action_dim], then[..., -1]
        shape = (config.terms, *reward.shape)
        latent = jnp.broadcast_to((mean + std * choice.noise)[:, None], (*shape, config.latent))

        def told(of: int, *seen: Array) -> Array:
            each = drop_out(config.dropout, jax.random.fold_in(choice.key, of), jnp.concatenate(seen, axis=-1))
            return jnp.concatenate([latent, jnp.broadcast_to(each, (*shape, each.shape[-1]))], axis=-1)

        # Where an episode ended the next observation is another one's first.
        goes_on = 1.0 - last
        predicted = reward_of(params, told(0, obs, action, next_obs * goes_on[..., None]))
        error = (predicted - reward) ** 2
        if config.next_obs:
            predicted = obs_net.apply(params["obs"], told(1, obs, action))
            error += goes_on * jnp.sum((predicted - next_obs) ** 2, axis=-1)
        of_all = (len(inputs) - 1) / len(choice.decoded)  # as many steps as a trial has
        explained = of_all * (choice.weight * error.sum(axis=1)).mean()
        kl = (choice.weight * kl_to_before(beliefs)[choice.belief]).mean()
        return explained + config.kl_coef * kl, {"belief_error": (choice.weight * error).mean(), "belief_kl": kl}

    return Decoder(init, elbo, reward_of)


def drop_out(rate: float, key: Key, x: Array) -> Array:
    """`x` with this share of its numbers set to 0, and the others the larger for it: in expectation it stays as it is."""
    if rate == 0.0:
        return x
    return jnp.where(jax.random.bernoulli(key, 1.0 - rate, x.shape), x / (1.0 - rate), 0.0)


def kl_to_before(beliefs: Array) -> Array:
    """KL of each belief `[T, ..., 2 latent]` from the one before it, of the first from a standard Gaussian, `[T, ...]`."""
    mean, std = jnp.split(beliefs, 2, axis=-1)
    mean_before = jnp.concatenate([jnp.zeros_like(mean[:1]), mean[:-1]])
    std_before = jnp.concatenate([jnp.ones_like(std[:1]), std[:-1]])
    ratio = (std / std_before) ** 2
    return 0.5 * jnp.sum(ratio + ((mean - mean_before) / std_before) ** 2 - 1.0 - jnp.log(ratio), axis=-1)
