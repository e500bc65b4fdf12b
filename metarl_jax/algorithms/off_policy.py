"""What off-policy algorithms share: standing environments, the replay of what happened there, and batches of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import replay
from ..learning import normalize, returns
from ..policies import Policy
from ..rollout import Act, ActionSample
from ..types import Array, History, Key, MetaEnv, RunState, Suite, Transition
from .standing import Standing, start


class Experience(NamedTuple):
    """Up to n steps of one environment."""

    obs: Array  # [obs_dim]
    action: Array  # [action_dim], in [-1, 1]: tanh of what was drawn
    reward: Array  # [], of all of them, discounted to the first
    discount: Array  # [], of the value of `next_obs`; 0 where the task terminated
    next_obs: Array  # [obs_dim]; where an episode ended, its last


class Memory(NamedTuple):
    """What is kept of N tasks."""

    standing: Standing
    replay: replay.Replay  # of `Experience`
    returns: Array  # [N, E]: rewards of the episode up to now, the latest counting most
    greatest: Array  # [N]: the greatest of them so far, in size


class Batch(NamedTuple):
    """B rows of all tasks, observations standardised."""

    experience: Experience  # [B, ...]
    task: Array  # [B] int


def init_memory(env: MetaEnv | Suite, key: Key, shape: tuple[int, int], slots: int) -> Memory:
    """Begins E episodes of each of N tasks, with `slots` rows for each task; `shape` is (N, E)."""
    obs, number = jnp.zeros(env.spec.obs_dim), jnp.zeros(())
    row = Experience(obs, jnp.zeros(env.spec.action_dim), number, number, obs)
    zeros = jnp.zeros(shape)
    return Memory(start(env, key, shape), replay.init(row, shape[0], slots), zeros, zeros[:, 0])


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


def remember(memory: Memory, standing: Standing, transitions: Transition, gamma: float, n: int) -> Memory:
    """Adds transitions `[N, E, T]`, after which the environments stand at `standing`."""
    t = transitions
    n_step = jax.vmap(jax.vmap(lambda reward, terminated, last: returns.n_step(reward, terminated, last, gamma, n)))
    ahead = n_step(t.reward_t, t.terminated_t, t.last_t)
    next_obs = jnp.take_along_axis(t.obs_t, ahead.end[..., None], axis=2)
    rows = Experience(t.obs_tm1, jnp.tanh(t.action_tm1), ahead.reward, ahead.discount, next_obs)
    flat = jax.tree.map(lambda x: x.reshape(len(x), -1, *x.shape[3:]), rows)

    def add_up(so_far: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, last = step
        so_far = gamma * so_far + reward
        return jnp.where(last, 0.0, so_far), jnp.abs(so_far)

    by_time = jnp.moveaxis(t.reward_t, 2, 0), jnp.moveaxis(t.last_t, 2, 0)
    so_far, sizes = jax.lax.scan(add_up, memory.returns, by_time)
    greatest = jnp.maximum(memory.greatest, sizes.max(axis=(0, 2)))
    return Memory(standing, replay.add(memory.replay, flat), so_far, greatest)


def draw(memory: Memory, stats: normalize.Stats, key: Key, batch_size: int, unit: Array | None) -> Batch:
    """`batch_size` rows, as many of each task, or of neighbours where there are more tasks than rows.

    Rewards of a task are in units of `unit` `[N]`, where it is given.
    """
    num_tasks = len(memory.greatest)
    count, group = max(batch_size // num_tasks, 1), max(num_tasks // batch_size, 1)
    drawn = replay.sample(memory.replay, key, count, group)
    task, rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), drawn)
    if unit is not None:
        rows = rows._replace(reward=rows.reward / unit[task])
    rows = rows._replace(obs=normalize.apply(stats, rows.obs), next_obs=normalize.apply(stats, rows.next_obs))
    return Batch(rows, task)
