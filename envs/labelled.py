"""Any family of finitely many tasks with observations that say which of them it is: `NAME/one-hot`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..errors import ConfigError
from ..types import Array, EnvState, Key, MetaEnv, Task, TimeStep
from .task_sets import OneOf


class Labelled(NamedTuple):
    """A task and its place among all of them."""

    number: Array  # [] int
    task: Task


class LabelledEnv:
    """See `MetaEnv`. What else `env` has is its own, such as the physics that renders it."""

    def __init__(self, name: str, env: MetaEnv):
        assert env.tasks is not None
        count = len(jax.tree.leaves(env.tasks)[0])
        self._env = env
        self.tasks = Labelled(jnp.arange(count), env.tasks)
        self.sample_task = OneOf(self.tasks)
        self.parameters: dict = {}  # a label is of one of these tasks, and of none between or beyond them
        self.spec = env.spec._replace(name=name, obs_dim=env.spec.obs_dim + count, num_labels=count)
        if restart := getattr(env, "restart", None):
            self.restart = lambda ended, state, key, task: self._told(task, *restart(ended, state, key, task.task))

    def reset(self, key: Key, task: Labelled) -> tuple[EnvState, TimeStep]:
        return self._told(task, *self._env.reset(key, task.task))

    def step(self, state: EnvState, action: Array, task: Labelled) -> tuple[EnvState, TimeStep]:
        return self._told(task, *self._env.step(state, action, task.task))

    def _told(self, task: Labelled, state: EnvState, timestep: TimeStep) -> tuple[EnvState, TimeStep]:
        label = jax.nn.one_hot(task.number, self.spec.num_labels)
        return state, timestep._replace(obs=jnp.concatenate([timestep.obs, label]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)


def labelled(name: str, env: MetaEnv, other: MetaEnv) -> LabelledEnv:
    """`env` with labels, where its tasks are those of the `other` split; else ConfigError."""
    same = (env.tasks is not None and other.tasks is not None) and all(
        a.shape == b.shape and bool((a == b).all())
        for a, b in zip(jax.tree.leaves(env.tasks), jax.tree.leaves(other.tasks), strict=True)
    )
    if not same:
        raise ConfigError(
            f"{name!r}: labels say which of finitely many tasks it is, the same in training and test, and this family has "
            "others: leave 'one-hot' out."
        )
    return LabelledEnv(name, env)
