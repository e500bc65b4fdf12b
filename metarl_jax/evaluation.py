"""Judging adaptation: which tasks there are to judge on, how they go after 0..K steps, and what is sure about it."""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from . import rollout
from .types import Algorithm, Array, History, Key, MetaEnv, Parameter, Params, RunState, Suite, Task


class Curve(NamedTuple):
    """How N tasks went after 0..K adaptation steps, means over E episodes."""

    returns: Array  # [K + 1, N], undiscounted
    success: Array  # [K + 1, N], share of episodes that solved the task; 0 where the environment names no success
    unstable: Array | None = None  # [K + 1], worlds in which the simulation blew up; None where it cannot
    surprise: Array | None = (
        None  # [K + 1, N], mean of -log pi of the actions that were drawn: an estimate of their entropy
    )


def adaptation_curve(
    algorithm: Algorithm, env: MetaEnv | Suite, state: RunState, key: Key, shape: tuple[int, int], num_steps: int
) -> Curve:
    """Return and success on each of N tasks after 0..K adaptation steps.

    Every step adapts to the episodes that the point before it was measured on.

    Args:
      algorithm: supplies `act` and `adapt`.
      env: draws the tasks (the held-out split).
      state: of the run.
      key: of tasks, episodes and actions.
      shape: (N, E) tasks and episodes of each.
      num_steps: K.
    """
    key_tasks, key = jax.random.split(key)
    tasks = rollout.sample_tasks(env, key_tasks, shape[0])
    return adaptation(algorithm, env, state, tasks, key, shape, num_steps)[2]


def adaptation(
    algorithm: Algorithm,
    env: MetaEnv | Suite,
    state: RunState,
    tasks: Task,
    key: Key,
    shape: tuple[int, int],
    num_steps: int,
    judged_act: Callable[[rollout.Act], rollout.Act] | None = None,
) -> tuple[Params, History, Curve]:
    """Adapts to N tasks, step by step (see `adaptation_curve`, whose `key` it takes without the tasks' part).

    `judged_act`, where given, makes of the policies that adapt those that are measured, in episodes of their own.

    Returns:
      Policies, leaves `[K + 1, N, ...]`, the histories they begin with, `[K + 1, N, E, ...]`, and how they did.
    """
    params = jax.tree.map(lambda x: jnp.broadcast_to(x, (shape[0], *x.shape)), algorithm.policy_params(state))
    first_history = rollout.no_history(env.spec, shape, algorithm.init_carry(shape))

    # A scan, so that the program's size does not grow with K; its last adaptation goes unused.
    def step(carry, key):
        params, history = carry
        act = algorithm.act(state, params)
        end, transitions = rollout.run_episodes(env, act, tasks, key, shape, history)
        judged = transitions
        if judged_act is not None:  # with the same key: the same starts
            judged = rollout.run_episodes(env, judged_act(act), tasks, key, shape, history)[1]
        # A round cuts short the episodes that still run.
        after = end.history._replace(last=jnp.ones(shape, bool)) if algorithm.keeps_history else first_history
        means = (x.mean(axis=1) for x in rollout.episode_outcome(judged))
        outcome = Curve(*means, rollout.unstable_worlds(judged), -transitions.log_prob_tm1.mean(axis=(1, 2)))
        return (algorithm.adapt(state, params, transitions), after), (params, history, outcome)

    return jax.lax.scan(step, (params, first_history), jax.random.split(key, num_steps + 1))[1]


def adapt_to_task(
    algorithm: Algorithm, env: MetaEnv, state: RunState, task: Task, key: Key, episodes: int, steps: int
) -> tuple[Params, History, Curve]:
    """The policy of a run after K = `steps` adaptation steps to one task, what it then remembers, and how it came there.

    Each step takes `episodes` episodes; a memory is that of the first of them.

    Returns:
      Parameters of N = 1 policy, the history that an episode of it begins with (N = E = 1), and a curve with N = 1.
    """
    tasks = jax.tree.map(lambda x: x[None], task)
    params, history, curve = adaptation(algorithm, env, state, tasks, key, (1, episodes), steps)
    params, history = jax.tree.map(lambda x: x[-1], (params, history))
    return params, jax.tree.map(lambda x: x[:, :1], history), curve


def unstable_notes(count: int, num_worlds: int) -> list[str]:
    """What is to be said where the simulation of some of all worlds blew up."""
    return [f"the simulation of {count} of {num_worlds} worlds blew up: their episodes end there"] if count else []


class Rows(NamedTuple):
    """Which tasks the N rows of an evaluation are of."""

    task: Sequence[int]  # [N], rows of one number are of the same task
    env: Sequence[str]  # [N], of a suite the environment that the task is of
    all_tasks: bool  # no task is held out, and there are no others

    @property
    def repeat_all_tasks(self) -> bool:
        """Whether every task there is has several rows: then all that is uncertain is how its episodes went."""
        return self.all_tasks and min(collections.Counter(self.task).values()) > 1


class Population(NamedTuple):
    """The tasks of an evaluation, beside those of training."""

    rows: Rows
    held_out: bool  # not all of them are tasks of training
    words: str  # what they are: "40 held-out tasks", "the family's 2 tasks, none held out"
    notes: tuple[str, ...]  # what else a reader of the figures must know


def population(env: MetaEnv | Suite, eval_env: MetaEnv | Suite, tasks: Task, num_tasks: int) -> Population:
    """What N = `num_tasks` tasks drawn from `eval_env` are to a run that trained on `env`.

    A task is what its arrays say: two rows of equal numbers are the same task, whichever split they come from.
    """
    drawn, trained, judged = _identities(eval_env, tasks, num_tasks), _all_tasks(env), _all_tasks(eval_env)
    num_trained, num_judged = len(trained or ()), len(judged or ())
    numbers = {identity: number for number, identity in enumerate(dict.fromkeys(drawn))}
    held_out = trained is None or judged is None or not judged <= trained
    rows = Rows([numbers[i] for i in drawn], [name for name, _ in drawn], not held_out and len(numbers) == num_judged)
    notes = []
    if held_out:
        words = f"{len(numbers)} held-out task{'s' * (len(numbers) > 1)}"
        if trained and (shared := trained & set(drawn)):
            notes.append(f"{len(shared)} of these tasks are tasks of training")
        notes += _shared_envs(env, eval_env)
    elif num_trained == 1:
        words = "its one task"
    else:
        whole = f"the {'suite' if isinstance(env, Suite) else 'family'}'s {num_trained} tasks, none held out"
        words = whole if len(numbers) == num_trained else f"{len(numbers)} of {whole}"
    if rows.repeat_all_tasks:
        notes.append("intervals are over the episodes of these tasks")
    return Population(rows, held_out, words, tuple(notes))


def _identities(env: MetaEnv | Suite, tasks: Task, num_tasks: int) -> list[tuple[str, bytes]]:
    """What tells each of N tasks from all others: its environment's name and its numbers."""
    if isinstance(env, Suite):
        share = num_tasks // len(env.envs)
        return [i for member, part in zip(env.envs, tasks, strict=True) for i in _identities(member, part, share)]
    # 0 is added for -0 to be 0 too.
    columns = [np.asarray(x, np.float64).reshape(num_tasks, -1) + 0.0 for x in jax.tree.leaves(tasks)]
    rows = np.concatenate([np.zeros((num_tasks, 0)), *columns], axis=1)
    return [(env.spec.name, row.tobytes()) for row in rows]


def _all_tasks(env: MetaEnv | Suite) -> set[tuple[str, bytes]] | None:
    """The tasks of a finite family or suite; None where they are without number."""
    if isinstance(env, Suite):
        parts = [_all_tasks(member) for member in env.envs]
        finite = [part for part in parts if part is not None]
        return set().union(*finite) if len(finite) == len(parts) else None
    return None if env.tasks is None else set(_identities(env, env.tasks, len(jax.tree.leaves(env.tasks)[0])))


def _shared_envs(env: MetaEnv | Suite, eval_env: MetaEnv | Suite) -> list[str]:
    """A note about a suite some of whose environments, but not all, are trained on too, with other tasks."""
    if not isinstance(eval_env, Suite):
        return []
    trained = {member.spec.name for member in (env.envs if isinstance(env, Suite) else (env,))}
    names = [member.spec.name for member in eval_env.envs]
    shared = [name for name in names if name in trained]
    if not 0 < len(shared) < len(names):
        return []
    return [f"{', '.join(shared)} is in both splits of {eval_env.spec.name}: not unseen, though with other tasks"]


def parameters_of(env: MetaEnv | Suite) -> Mapping[str, Parameter]:
    """What a family calls the numbers of its tasks; {} where it says nothing, and of a suite, whose members have their own."""
    return getattr(env, "parameters", {})


class Estimate(NamedTuple):
    """A quantity over tasks, or over runs and tasks."""

    mean: float
    iqm: float  # mean of the middle half
    interval: tuple[float, float] | None  # 95 % bootstrap interval of the iqm; None of too few runs
    mean_interval: tuple[float, float] | None  # 95 % bootstrap interval of the mean; None of too few runs


MIN_RUNS = (
    5  # below this a bootstrap over runs promises more than it holds; a single run has an interval over its tasks
)
SUCCESS_FIELDS = ("mean", "mean_interval")  # the interquartile mean of 80 tasks solved and 20 failed is 1.00


def over_tasks(values: np.ndarray, rows: Rows) -> Estimate:
    """Summary of an evaluation, in which every task counts the same.

    Tasks are resampled, within each environment of a suite; where the rows repeat all tasks there are, the rows of each.

    Args:
      values: `[R, N]` of R runs, or `[N]` of one.
      rows: which tasks these are.
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    task, first = np.asarray(rows.task), np.unique(rows.task, return_index=True)[1]
    if rows.repeat_all_tasks:
        return estimate(values, task, rows_of_tasks=True)
    return estimate(values @ _averaging(task), np.unique(np.asarray(rows.env)[first], return_inverse=True)[1])


def estimate(
    values: np.ndarray,
    strata: np.ndarray | None = None,
    rows_of_tasks: bool = False,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean, interquartile mean (Agarwal et al. 2021, arXiv:2108.13264), and their 95 % percentile bootstrap intervals.

    Runs are resampled as wholes, and columns the same for all of them, since all runs play all tasks and each with one
    policy (the bootstrap of crossed random effects: Owen 2007, doi:10.1214/07-AOAS122). From 2 to 4 runs have no interval.

    Args:
      values: `[R, N]` of R runs, or `[N]` of one.
      strata: `[N]` from 0; columns are resampled within each. One stratum where left out.
      rows_of_tasks: a stratum is a task and its columns are rows of it: they are averaged before all else.
      num_resamples: of the bootstrap.
      seed: of the bootstrap.
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    num_runs, num_columns = values.shape
    strata = np.zeros(num_columns, int) if strata is None else np.asarray(strata)
    average = _averaging(strata) if rows_of_tasks else None

    def statistics(samples: np.ndarray) -> np.ndarray:
        """Mean and interquartile mean of samples `[..., R, N]`: `[2, ...]`."""
        flat = (samples if average is None else samples @ average).reshape(*samples.shape[:-2], -1)
        return np.stack([flat.mean(axis=-1), scipy.stats.trim_mean(flat, 0.25, axis=-1)])

    mean, iqm = statistics(values).tolist()
    if 1 < num_runs < MIN_RUNS:
        return Estimate(mean, iqm, None, None)
    rng, batch = np.random.default_rng(seed), max(1, 2**21 // values.size)
    resampled = []
    for start in range(0, num_resamples, batch):  # in parts, to bound the memory
        size = min(batch, num_resamples - start)
        runs, columns = rng.integers(num_runs, size=(size, num_runs)), _resample_within(rng, strata, size)
        resampled.append(statistics(values[runs[:, :, None], columns[:, None, :]]))
    low, high = np.quantile(np.concatenate(resampled, axis=1), [0.025, 0.975], axis=1).tolist()
    return Estimate(mean, iqm, (low[1], high[1]), (low[0], high[0]))


def by_point(estimates: Sequence[Estimate], fields: Sequence[str] = Estimate._fields) -> dict[str, list[Any]]:
    """Estimates along a curve as lists by field, as JSON holds them."""

    def plain(x: Any) -> Any:
        return list(x) if isinstance(x, tuple) else x

    return {name: [plain(getattr(estimate, name)) for estimate in estimates] for name in fields}


def _averaging(groups: np.ndarray) -> np.ndarray:
    """`[N, G]`, from columns to means over groups `[N]`, numbered from 0."""
    members = np.eye(groups.max() + 1)[groups]
    return members / members.sum(axis=0)


def _resample_within(rng: np.random.Generator, strata: np.ndarray, size: int) -> np.ndarray:
    """`size` resamples of N columns, `[size, N]`, that leave the number of columns from each stratum as it is."""
    order, counts = np.argsort(strata, kind="stable"), np.bincount(strata)
    first = np.cumsum(counts) - counts
    return order[first[strata] + (rng.random((size, len(strata))) * counts[strata]).astype(int)]
