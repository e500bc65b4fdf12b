"""What MAML-PPO, MAML-TRPO and Reptile share: the iteration around their updates, and tasks in chunks."""

from collections.abc import Callable
from typing import Any

import jax

from .. import rollout
from ..errors import ConfigError, nearest_divisors
from ..learning.adaptation import flatten
from ..policies import make_act
from ..types import Adaptation, Algorithm, Key, Metrics, RunState
from .diagnostics import action_metrics, trial_metrics
from .inner_loop import InnerLoop, Trial

# The state before, what its policy and those adapted from it met, a key -> the state with other parameters, and metrics.
Update = Callable[[RunState, Trial, Key], tuple[RunState, Metrics]]


def make_meta_learner(
    inner: InnerLoop, shape: tuple[int, int], init: Callable[[Key], RunState], update: Update
) -> Algorithm:
    """The algorithm whose iteration is tasks -> support -> adapt -> query -> `update`.

    Args:
      inner: the inner loop.
      shape: (N, E), tasks of an iteration and environments of each; ConfigError where N does not fit a suite.
      init: of the state of a run.
      update: what the outer loop does.
    """
    env, policy = inner.env, inner.policy
    rollout.check_num_tasks(env, shape[0], "algorithm.num_tasks")

    def iterate(state: RunState, key: Key) -> tuple[RunState, Metrics]:
        key_tasks, key_trial, key_update = jax.random.split(key, 3)
        tasks = rollout.sample_tasks(env, key_tasks, shape[0])
        trial = inner.run_trial(state.params, state.obs_stats, tasks, key_trial, shape)
        state, metrics = update(state, trial, key_update)
        state = state._replace(step=state.step + 1, obs_stats=policy.observe(state.obs_stats, trial.rounds))
        return state, metrics | trial_metrics(env, trial) | action_metrics(policy, trial.rounds[-1])

    return Algorithm(
        init=init,
        iterate=iterate,
        policy_params=lambda state: state.params["policy"],
        act=lambda state, params: make_act(policy, state.obs_stats, params, 0),
        adapt=inner.adapt_tasks,
        adaptation=Adaptation(inner.config.steps, shape[1]),
        init_carry=policy.init_carry,
        keeps_history=False,
        policy=policy,
        knowledge=lambda params, history: flatten(params),
        env_steps_per_iteration=inner.env_steps_per_trial(shape),
    )


def default_task_chunks(tasks: int, devices: int) -> int:
    """Chunks for a meta-gradient over so many tasks, split over devices where these divide them.

    On CPU the intermediates of many tasks leave the caches: chunks of 1 to 16 tasks of a thousand steps take the same
    time per task, 64 at once half as much again, 256 three times as much.
    """
    if jax.default_backend() != "cpu":
        return 1
    of_device = tasks if tasks % devices else tasks // devices
    return of_device // max(n for n in range(1, 5) if of_device % n == 0)


def check_meta_gradient(config: Any) -> None:
    """ConfigError unless the fields that configurations of MAML have in common go together."""
    if min(config.num_tasks, config.envs_per_task, 1 if config.task_chunks is None else config.task_chunks) < 1:
        raise ConfigError("num_tasks, envs_per_task and task_chunks must be at least 1.")
    if config.first_order and config.inner.remat:
        raise ConfigError("first_order keeps nothing of the inner steps: set inner.remat to False.")


def check_task_chunks(what: str, tasks: int, task_chunks: int | None) -> None:
    """ConfigError unless `what` of so many tasks can be split into equal chunks."""
    if task_chunks is not None and tasks % task_chunks:
        raise ConfigError(
            f"{what} of {tasks} tasks cannot be split into {task_chunks} equal chunks; task_chunks can be "
            f"{nearest_divisors(tasks, task_chunks)}."
        )
