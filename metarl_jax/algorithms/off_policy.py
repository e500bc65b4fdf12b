"""What off-policy algorithms share: standing environments, the replay of what happened there, and batches of it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import replay
from ..learning import normalize, returns
from ..policies import Policy
from ..rollout import Act, ActionSample
from ..types import Array, EnvSpec, History, Key, RunState, Transition


class Experience(NamedTuple):
    """Up to n steps of one environment."""

    obs: Array  # [obs_dim]
    action: Array  # [action_dim], in [-1, 1]: tanh of what was drawn
    reward: Array  # [], of all of them, discounted to the first
    discount: Array  # [], of the value of `next_obs`; 0 where the task terminated
    next_obs: Array  # [obs_dim]; where an episode ended, its last


class Memory(NamedTuple):
    """What is kept of N tasks."""

    standing: Any  # a Standing of environments that go on; else their tasks
    replay: replay.Replay  # of `Experience`
    returns: Array  # [N, E]: rewards of the episode up to now, the latest counting most
    greatest: Array  # [N]: the greatest of them so far, in size


class Batch(NamedTuple):
    """B rows of all tasks, observations standardised."""

    experience: Experience  # [B, ...]
    task: Array  # [B] int


def init_memory(spec: EnvSpec, standing: Any, shape: tuple[int, int], slots: int) -> Memory:
    """Of E environments of each of N tasks, with `slots` rows for each task; `shape` is (N, E)."""
    zeros = jnp.zeros(shape)
    return Memory(standing, init_replay(spec, shape[0], slots), zeros, zeros[:, 0])


def init_replay(spec: EnvSpec, num_tasks: int, slots: int) -> replay.Replay:
    """`slots` rows of `Experience` for each task."""
    obs, number = jnp.zeros(spec.obs_dim), jnp.zeros(())
    return replay.init(Experience(obs, jnp.zeros(spec.action_dim), number, number, obs), num_tasks, slots)


def without_replay(state: RunState) -> RunState:
    """The state but what was experienced."""
    return state._replace(kept=state.kept._replace(by_task=state.kept.by_task._replace(replay=())))


def explore(policy: Policy, decide: Act, at_random: Array) -> Act:
    """What the policy decides; uniformly random actions while `at_random` `[]`."""

    def act(obs: Array, history: History, key: Key) -> tuple[tuple, ActionSample]:
        key_policy, key_uniform = jax.random.split(key)
        carry, sample = decide(obs, history, key_policy)
        uniform = jax.random.uniform(key_uniform, sample.raw.shape, minval=-1.0, maxval=1.0)
        raw = jnp.where(at_random, jnp.arctanh(uniform), sample.raw)
        return carry, sample._replace(raw=raw, action=policy.distribution.to_env(raw))

    return act


def experience(transitions: Transition, gamma: float, n: int) -> Experience:
    """Rows `[N, E * T, ...]` of transitions `[N, E, T]`, each of up to n steps."""
    t = transitions
    n_step = jax.vmap(jax.vmap(lambda reward, terminated, last: returns.n_step(reward, terminated, last, gamma, n)))
    ahead = n_step(t.reward_t, t.terminated_t, t.last_t)
    next_obs = jnp.take_along_axis(t.obs_t, ahead.end[..., None], axis=2)
    rows = Experience(t.obs_tm1, jnp.tanh(t.action_tm1), ahead.reward, ahead.discount, next_obs)
    return jax.tree.map(lambda x: x.reshape(len(x), -1, *x.shape[3:]), rows)


def learnable(transitions: Transition) -> Transition:
    """With the shaped reward, where there is one, in place of the task's own."""
    shaped = transitions.shaped_t
    return transitions if shaped is None else transitions._replace(reward_t=shaped)


def remember(memory: Memory, transitions: Transition, gamma: float, n: int) -> Memory:
    """Adds transitions `[N, E, T]`, which go on where those before ended; with shaped rewards, where there are such."""
    t = learnable(transitions)
    rows = experience(t, gamma, n)

    def add_up(so_far: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, last = step
        so_far = gamma * so_far + reward
        return jnp.where(last, 0.0, so_far), jnp.abs(so_far)

    by_time = jnp.moveaxis(t.reward_t, 2, 0), jnp.moveaxis(t.last_t, 2, 0)
    so_far, sizes = jax.lax.scan(add_up, memory.returns, by_time)
    greatest = jnp.maximum(memory.greatest, sizes.max(axis=(0, 2)))
    return Memory(memory.standing, replay.add(memory.replay, rows), so_far, greatest)


def draw(memory: Memory, stats: normalize.Stats, key: Key, batch_size: int, unit: Array | None) -> Batch:
    """`batch_size` rows, as many of each task, or of neighbours where there are more tasks than rows.

    Rewards of a task are in units of `unit` `[N]`, where it is given.
    """
    num_tasks, (key_task, key) = len(memory.greatest), jax.random.split(key)
    which, task = replay.choose(key_task, num_tasks, min(num_tasks, batch_size))
    count = batch_size // len(task)
    drawn = replay.sample(memory.replay, key, count, which)
    rows, task = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), drawn), jnp.repeat(task, count)
    if unit is not None:
        rows = rows._replace(reward=rows.reward / unit[task])
    rows = rows._replace(obs=normalize.apply(stats, rows.obs), next_obs=normalize.apply(stats, rows.next_obs))
    return Batch(rows, task)
