"""Environments that go on from one iteration to the next, for algorithms that do not begin every iteration with a reset."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import rollout
from ..types import Array, Key, MetaEnv, Suite, Task, Transition


class Standing(NamedTuple):
    """N tasks, drawn once, and where their `[N, E]` environments stand."""

    tasks: Task
    rollout: rollout.RolloutState
    latest: rollout.Outcome  # of the latest whole episode of every environment; nan before its first


def start(env: MetaEnv | Suite, key: Key, shape: tuple[int, int]) -> Standing:
    """Draws N tasks and begins E episodes of each; `shape` is (N, E)."""
    key_tasks, key_start = jax.random.split(key)
    tasks = rollout.sample_tasks(env, key_tasks, shape[0])
    unfinished = rollout.Outcome(*[jnp.full(shape, jnp.nan, float)] * 2)
    return Standing(tasks, rollout.start(env, tasks, key_start, shape), unfinished)


def go_on(
    env: MetaEnv | Suite, act: rollout.Act, standing: Standing, key: Key, num_steps: int
) -> tuple[Standing, Transition]:
    """`num_steps` further steps of all environments: where they stand then, and the transitions `[N, E, T]`."""
    running, transitions = rollout.collect(env, act, standing.tasks, standing.rollout, key, num_steps)
    so_far = rollout.Outcome(transitions.return_t, transitions.success_t)
    latest = jax.tree.map(lambda x, before: latest_at_end(transitions, x, before), so_far, standing.latest)
    return Standing(standing.tasks, running, latest), transitions


def latest_at_end(transitions: Transition, values: Array, before: Array) -> Array:
    """`values` `[N, E, T]` at the last end of an episode in these transitions, `[N, E]`; `before` where none ended."""
    ends = transitions.last_t
    latest = ends.shape[-1] - 1 - jnp.argmax(ends[..., ::-1], axis=-1)
    return jnp.where(ends.any(axis=-1), jnp.take_along_axis(values, latest[..., None], axis=-1)[..., 0], before)
