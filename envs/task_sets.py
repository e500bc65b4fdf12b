"""Fixed sets of training and test tasks."""

from collections.abc import Callable

import jax

from ..types import Key, Task


def task_sampler(
    sample_task: Callable[[Key], Task], num_tasks: tuple[int, int] | None, split: str
) -> Callable[[Key], Task]:
    """What an environment's `sample_task` does: draw from the distribution, or from one split of a fixed set.

    Args:
      sample_task: draws one task of the distribution.
      num_tasks: (train, test) sizes of the fixed set, which is the same in every run; None: unlimited tasks.
      split: "train" or "test"; train and test share no draw.
    """
    if num_tasks is None:
        return sample_task
    num_train, num_test = num_tasks
    keys = jax.random.split(jax.random.key(0), num_train + num_test)
    chosen = keys[:num_train] if split == "train" else keys[num_train:]
    tasks = jax.vmap(sample_task)(chosen)

    def pick(key: Key) -> Task:
        index = jax.random.randint(key, (), 0, len(chosen))
        return jax.tree.map(lambda x: x[index], tasks)

    return pick
