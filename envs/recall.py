"""A corridor that asks for memory, in pure JAX: the T-maze of Bakker (2001, "Reinforcement learning with LSTM").

The first observation shows a side, the last asks for it, those between show nothing. A task is the side, -1 or 1; an
observation is `[2]`: the side (0 after the first step) and whether the junction is reached; an action `[1]` is where to turn,
which matters at the junction alone.
"""

import jax
import jax.numpy as jnp

from ..errors import ConfigError
from ..types import Array, EnvSpec, Key, Task, TimeStep

LENGTH = 200  # steps from the cue to the turn


class RecallEnv:
    """See `MetaEnv`. The turn earns 1 or -1; `info["success"]` says which."""

    tasks = None

    def __init__(self, name: str, length: int):
        self.spec = EnvSpec(name, 2, 1, length, action_low=(-1.0,), action_high=(1.0,), has_success=True)

    def sample_task(self, key: Key) -> Task:
        return jax.random.rademacher(key, (), float)

    def reset(self, key: Key, task: Task) -> tuple[Array, TimeStep]:
        at_junction = float(self.spec.horizon == 1)
        return jnp.zeros((), int), _timestep(jnp.stack([task, at_junction]), jnp.zeros(()))

    def step(self, state: Array, action: Array, task: Task) -> tuple[Array, TimeStep]:
        turns = state == self.spec.horizon - 1
        reward = jnp.where(turns, jnp.sign(task * action[0]), 0.0)
        at_junction = (state + 1 == self.spec.horizon - 1).astype(float)
        return state + 1, _timestep(jnp.stack([jnp.zeros(()), at_junction]), reward)


def _timestep(obs: Array, reward: Array) -> TimeStep:
    return TimeStep(obs, reward, jnp.array(False), {"success": (reward > 0).astype(float)})


def make(name: str, physics: str, horizon: int | None, split: str) -> RecallEnv:
    """Builds the environment; ConfigError where a physics backend is asked for, since there is none to choose."""
    if physics != "auto":
        raise ConfigError(f"{name!r} has no physics: leave the physics backend at 'auto' instead of {physics!r}.")
    return RecallEnv(name, horizon or LENGTH)
