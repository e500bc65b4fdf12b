"""Bernoulli bandits in pure JAX, as in RL^2 (Duan et al. 2016, arXiv:1611.02779, section 3.1).

A task is the arms' probabilities of a reward of 1, `[k]`, from U[0, 1]; a reward is 0 else. An episode is a whole trial of n
pulls, its horizon. There is nothing to observe (a 0): all there is to know is which arms were pulled and what they gave, which
a policy's memory sees.
"""

import jax
import jax.numpy as jnp

from ..errors import ConfigError
from ..types import Array, EnvSpec, Key, TimeStep

PULLS = 10  # of an episode


class BanditEnv:
    """See `MetaEnv`; the state is the data of a random key."""

    tasks = None

    def __init__(self, name: str, num_arms: int, horizon: int):
        self.spec = EnvSpec(name, 1, num_arms, horizon, action_low=(), action_high=(), discrete=True)

    def sample_task(self, key: Key) -> Array:
        return jax.random.uniform(key, (self.spec.action_dim,))

    def reset(self, key: Key, task: Array) -> tuple[Array, TimeStep]:
        return jax.random.key_data(key), _timestep(jnp.zeros(()))

    def step(self, state: Array, action: Array, task: Array) -> tuple[Array, TimeStep]:
        key, key_reward = jax.random.split(jax.random.wrap_key_data(state))
        return jax.random.key_data(key), _timestep(jax.random.bernoulli(key_reward, task[action]).astype(float))


def _timestep(reward: Array) -> TimeStep:
    return TimeStep(jnp.zeros(1), reward, jnp.array(False))


def make(name: str, physics: str, horizon: int | None, split: str) -> BanditEnv:
    """Builds the environment; ConfigError where a physics backend is asked for, since there is none to choose."""
    if physics != "auto":
        raise ConfigError(f"{name!r} has no physics: leave the physics backend at 'auto' instead of {physics!r}.")
    _, _, num_arms = name.partition("/")
    return BanditEnv(name, int(num_arms), horizon or PULLS)
