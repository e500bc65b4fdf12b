"""A corridor that asks for memory, in pure JAX: the T-maze of Bakker (2001, "Reinforcement learning with LSTM").

The first observation shows a side, the last asks for it, those between show nothing. An observation is `[2]`: the side (0
after the first step) and whether the junction is reached; an action `[1]` is where to turn, which matters at the junction
alone.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ..errors import ConfigError
from ..types import Array, EnvSpec, Key, TimeStep
from .task_sets import OneOf, fixed_tasks

LENGTH = 200  # steps from the cue to the turn


class Corridor(NamedTuple):
    """A task."""

    side: Array  # [], -1 or 1
    length: Array  # [] int, steps from the cue to the turn


class RecallEnv:
    """See `MetaEnv`. The turn ends the episode and earns 1 or -1; `info["success"]` says which."""

    def __init__(self, name: str, shortest: int, longest: int):
        sides, lengths = np.meshgrid([-1.0, 1.0], np.arange(shortest, longest + 1))
        self.sample_task = OneOf(Corridor(jnp.asarray(sides.ravel(), float), jnp.asarray(lengths.ravel(), int)))
        self.tasks = fixed_tasks(self.sample_task, None, "train")
        self.spec = EnvSpec(name, 2, 1, longest, action_low=(-1.0,), action_high=(1.0,), has_success=True)

    def reset(self, key: Key, task: Corridor) -> tuple[Array, TimeStep]:
        return jnp.zeros((), int), _timestep(task, 0, task.side, jnp.zeros(()))

    def step(self, state: Array, action: Array, task: Corridor) -> tuple[Array, TimeStep]:
        reward = jnp.where(state == task.length - 1, jnp.sign(task.side * action[0]), 0.0)
        return state + 1, _timestep(task, state + 1, jnp.zeros(()), reward)


def _timestep(task: Corridor, steps: int | Array, cue: Array, reward: Array) -> TimeStep:
    at_junction = jnp.asarray(steps == task.length - 1, float)
    info = {"success": (reward > 0).astype(float)}
    return TimeStep(jnp.stack([cue, at_junction]), reward, steps >= task.length, info)


def make(name: str, physics: str, horizon: int | None, split: str) -> RecallEnv:
    """Builds the environment; ConfigError where a physics backend is asked for, since there is none to choose."""
    if physics != "auto":
        raise ConfigError(f"{name!r} has no physics: leave the physics backend at 'auto' instead of {physics!r}.")
    longest = horizon or LENGTH
    return RecallEnv(name, 1 if name == "recall/mixed" and split == "train" else longest, longest)
