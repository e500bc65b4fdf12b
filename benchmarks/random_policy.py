"""Uniformly random actions: what an environment's own speed is measured with."""

import jax
import jax.numpy as jnp

from .. import rollout
from ..types import Array, EnvSpec, Key


def draw(spec: EnvSpec, key: Key, shape: tuple[int, ...]) -> Array:
    """Actions `[*shape, action_dim]` within the bounds of the spec."""
    low, high = jnp.array(spec.action_low), jnp.array(spec.action_high)
    return jax.random.uniform(key, (*shape, spec.action_dim), minval=low, maxval=high)


def make_act(spec: EnvSpec) -> rollout.Act:
    """The policy, as `rollout.collect` calls it."""

    def act(obs: Array, history, key: Key):
        action = draw(spec, key, obs.shape[:2])
        return (), rollout.ActionSample(action, action, (), obs[..., 0])

    return act
