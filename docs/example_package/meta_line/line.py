"""A point on a line seeks -1 or +1, and is not told which; `line/wide`: -2 or +2."""

import jax
import jax.numpy as jnp

from metarl_jax import ConfigError, EnvSpec, TimeStep

GOALS = {"line": 1.0, "line/wide": 2.0}


class Line:
    """See `metarl_jax.types.MetaEnv`: a task is the goal, `[]`; the state is the point, `[1]`."""

    def __init__(self, name, horizon):
        self.spec = EnvSpec(name, 1, 1, horizon, action_low=(-0.1,), action_high=(0.1,))
        self.tasks = jnp.array([-GOALS[name], GOALS[name]])

    def sample_task(self, key):
        return jax.random.choice(key, self.tasks)

    def reset(self, key, task):
        position = 0.1 * jax.random.normal(key, (1,))
        return position, TimeStep(position, reward=jnp.zeros(()), terminated=jnp.array(False))

    def step(self, position, action, task):
        position = position + action
        distance = jnp.abs(position[0] - task)
        return position, TimeStep(position, reward=-distance, terminated=distance < 0.05)


def make(name, *, physics="auto", horizon=None, split="train"):
    """What metarl_jax calls: `name` as it was typed, options and all; `split` is "train" or "test"."""
    if name not in GOALS:
        raise ConfigError(f"unknown environment {name!r}: choose from {', '.join(GOALS)}.")
    if physics != "auto":
        raise ConfigError(f"{name!r} has no physics: leave the physics backend at 'auto' instead of {physics!r}.")
    return Line(name, horizon or 20)
