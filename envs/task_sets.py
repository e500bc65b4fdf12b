"""Finite sets of tasks: those of a family that has no others, and fixed draws for training and test."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ..types import Key, Task


@dataclasses.dataclass(frozen=True, eq=False)
class OneOf:
    """Draws one of a finite set of tasks. As a family's `sample_task` it says that the family has no others."""

    tasks: Task  # leaves `[M, ...]`

    def __call__(self, key: Key) -> Task:
        index = jax.random.randint(key, (), 0, len(jax.tree.leaves(self.tasks)[0]))
        return jax.tree.map(lambda x: jnp.asarray(x)[index], self.tasks)


single_task = OneOf(np.zeros(1))  # of an environment that has but one; nothing reads it


def fixed_tasks(sample_task: Callable[[Key], Task], num_tasks: tuple[int, int] | None, split: str) -> Task | None:
    """The tasks of one split, leaves `[M, ...]`, the same in every run; None where the family is unlimited.

    Args:
      sample_task: draws one task of the distribution; that of a finite family is `OneOf`, and both splits are all of it.
      num_tasks: (train, test) sizes of a fixed set of draws; None where there is none.
      split: "train" or "test"; train and test share no draw.
    """
    if isinstance(sample_task, OneOf):
        return jax.tree.map(jnp.asarray, sample_task.tasks)
    if num_tasks is None:
        return None
    num_train, num_test = num_tasks
    keys = jax.random.split(jax.random.key(0), num_train + num_test)
    return jax.vmap(sample_task)(keys[:num_train] if split == "train" else keys[num_train:])
