"""Fixed sets of training and test tasks."""

from collections.abc import Callable

import jax

from ..types import Key, Task


def fixed_tasks(sample_task: Callable[[Key], Task], num_tasks: tuple[int, int] | None, split: str) -> Task | None:
    """One split of a fixed set of tasks, the same in every run; leaves `[M, ...]`.

    Args:
      sample_task: draws one task of the distribution.
      num_tasks: (train, test) sizes of the set; None: unlimited tasks, for which None is returned.
      split: "train" or "test"; train and test share no draw.
    """
    if num_tasks is None:
        return None
    num_train, num_test = num_tasks
    keys = jax.random.split(jax.random.key(0), num_train + num_test)
    return jax.vmap(sample_task)(keys[:num_train] if split == "train" else keys[num_train:])


def pick_from(tasks: Task) -> Callable[[Key], Task]:
    """Draws one of `tasks`, leaves `[M, ...]`."""

    def pick(key: Key) -> Task:
        leaves = jax.tree.leaves(tasks)
        index = jax.random.randint(key, (), 0, len(leaves[0]))
        return jax.tree.map(lambda x: x[index], tasks)

    return pick
