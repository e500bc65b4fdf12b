"""Random tabular MDPs in pure JAX, as in RL^2 (Duan et al. 2016, arXiv:1611.02779, section 3.2; Osband et al. 2013).

10 states, 5 actions, episodes of 10 steps from state 0. The state is observed, one-hot; a reward is its mean, which state and
action tell, and standard normal noise.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..errors import ConfigError
from ..types import Array, EnvSpec, Key, TimeStep

STATES, ACTIONS, HORIZON = 10, 5, 10


class Mdp(NamedTuple):
    """A task."""

    transition: Array  # [S, A, S], probabilities of the next state, from a flat Dirichlet distribution
    reward: Array  # [S, A], means, from N(1, 1)


class MdpState(NamedTuple):
    """Where an episode stands."""

    state: Array  # [] int
    key_data: Array  # of a random key


class MdpEnv:
    """See `MetaEnv`."""

    tasks = None

    def __init__(self, name: str, horizon: int):
        self.spec = EnvSpec(name, STATES, ACTIONS, horizon, action_low=(), action_high=(), discrete=True)

    def sample_task(self, key: Key) -> Mdp:
        key_transition, key_reward = jax.random.split(key)
        transition = jax.random.dirichlet(key_transition, jnp.ones(STATES), (STATES, ACTIONS))
        return Mdp(transition, 1.0 + jax.random.normal(key_reward, (STATES, ACTIONS)))

    def reset(self, key: Key, task: Mdp) -> tuple[MdpState, TimeStep]:
        state = MdpState(jnp.zeros((), int), jax.random.key_data(key))
        return state, _timestep(state, jnp.zeros(()))

    def step(self, state: MdpState, action: Array, task: Mdp) -> tuple[MdpState, TimeStep]:
        key, key_next, key_noise = jax.random.split(jax.random.wrap_key_data(state.key_data), 3)
        reward = task.reward[state.state, action] + jax.random.normal(key_noise)
        log_prob = jnp.log(task.transition[state.state, action])
        state = MdpState(jax.random.categorical(key_next, log_prob).astype(int), jax.random.key_data(key))
        return state, _timestep(state, reward)


def _timestep(state: MdpState, reward: Array) -> TimeStep:
    return TimeStep(jax.nn.one_hot(state.state, STATES), reward, jnp.array(False))


def make(name: str, physics: str, horizon: int | None, split: str) -> MdpEnv:
    """Builds the environment; ConfigError where a physics backend is asked for, since there is none to choose."""
    if physics != "auto":
        raise ConfigError(f"{name!r} has no physics: leave the physics backend at 'auto' instead of {physics!r}.")
    return MdpEnv(name, horizon or HORIZON)
