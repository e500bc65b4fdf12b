"""Virtual tasks: trials in which the decoder of beliefs says what the rewards are, for a mixture of two tasks' beliefs.

LDM (Lee and Chung 2021, arXiv:2105.13524) and SDVT (Lee et al. 2023) train on these beside the tasks there are, so that tasks
between and beyond them are no surprise. The observations are those of a real task; the decoder does not learn of what it made up.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..learning import normalize
from ..policies import memory_inputs
from ..rollout import Imagine, Outcome
from ..types import Array, Key, Params, TimeStep
from .variational import Decoder


class Seen(NamedTuple):
    """What is kept of the real trials of N tasks."""

    latent: Array  # [N, latent], means of the beliefs at the end of the latest
    low: Array  # [N], lowest and highest reward so far
    high: Array  # [N]


class Virtual(NamedTuple):
    """Which of an iteration's N tasks are virtual, and what is believed in them."""

    here: Array  # [N] bool
    latent: Array  # [N, latent]


def nothing_seen(num_tasks: int, latent: int) -> Seen:
    nowhere = jnp.full(num_tasks, jnp.inf, float)
    return Seen(jnp.zeros((num_tasks, latent)), nowhere, -nowhere)


def draw(share: float, seen: Seen, key: Key) -> Virtual:
    """This share of the tasks, each with a point between the beliefs of two; none before anything was seen."""
    key_here, key_pair, key_weight = jax.random.split(key, 3)
    count = len(seen.latent)
    here = jax.random.bernoulli(key_here, share, (count,)) & jnp.isfinite(seen.low).all()
    one, other = seen.latent[jax.random.randint(key_pair, (2, count), 0, count)]
    weight = jax.random.uniform(key_weight, (count, 1))
    return Virtual(here, weight * one + (1.0 - weight) * other)


def make_imagine(decoder: Decoder, params: Params, stats: normalize.Stats, seen: Seen, virtual: Virtual) -> Imagine:
    """Rewards of virtual tasks, within those that real ones gave; the environment's in the others."""
    of_reward = stats._replace(mean=stats.mean[-1], sum_square=stats.sum_square[-1])

    def imagine(obs: Array, action: Array, timestep: TimeStep, last: Array) -> Array:
        def standardised(x: Array) -> Array:
            return memory_inputs(stats, x, action, timestep.reward, last)[..., : x.shape[-1]]

        latent = jnp.broadcast_to(virtual.latent[:, None], (*last.shape, virtual.latent.shape[-1]))
        after = jnp.where(last[..., None], 0.0, standardised(timestep.obs))
        reward = normalize.undo(of_reward, decoder.reward(params, latent, standardised(obs), action, after))
        return jnp.where(virtual.here[:, None], jnp.clip(reward, seen.low.min(), seen.high.max()), timestep.reward)

    return imagine


def update(seen: Seen, virtual: Virtual, latent: Array, reward: Array) -> Seen:
    """After trials that ended with the beliefs `latent` `[N, latent]` and gave `reward` `[N, E, T]`."""
    low, high = jnp.minimum(seen.low, reward.min(axis=(1, 2))), jnp.maximum(seen.high, reward.max(axis=(1, 2)))
    return jax.tree.map(lambda old, new: jax.vmap(jnp.where)(virtual.here, old, new), seen, Seen(latent, low, high))


def weights(virtual: Virtual) -> Array:
    """Of tasks `[N]`: 0 of virtual ones, the same of all others, and 1 in the mean; 0 where all are virtual."""
    real = 1.0 - virtual.here
    return real / jnp.maximum(real.mean(), 1e-6)


def real_alone(outcome: Outcome, virtual: Virtual) -> Outcome:
    """nan in the place of what was made up, which metrics leave out."""
    return Outcome(*(jnp.where(virtual.here[:, None], jnp.nan, x) for x in outcome))
