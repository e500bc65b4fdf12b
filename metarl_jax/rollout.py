"""Collecting experience: a scan over time, vmapped over environments and tasks. The only place that resets episodes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .types import Array, EnvState, Key, MetaEnv, Task, TimeStep, Transition


class ActionSample(NamedTuple):
    """What a policy decided; every field `[N, E, ...]`."""

    raw: Array  # as drawn, before the environment's bounds
    action: Array  # as the environment is given it
    dist: Any  # parameters of the distribution it was drawn from
    log_prob: Array


class RolloutState(NamedTuple):
    """Where `[N, E]` environments stand."""

    env_state: EnvState
    obs: Array  # [N, E, obs_dim]
    time: Array  # [N, E] int, steps since the episode began
    episode_return: Array  # [N, E], undiscounted reward since then


def sample_tasks(env: MetaEnv, key: Key, num_tasks: int) -> Task:
    """N tasks, leaves `[N, ...]`."""
    return jax.vmap(env.sample_task)(jax.random.split(key, num_tasks))


def start(env: MetaEnv, tasks: Task, key: Key, shape: tuple[int, int]) -> RolloutState:
    """Begins E episodes of each of N tasks; `shape` is (N, E)."""
    env_state, timestep = _reset(env, tasks, key, shape)
    zeros = jnp.zeros(shape)
    return RolloutState(env_state, timestep.obs, zeros.astype(int), zeros)


def collect(
    env: MetaEnv,
    act: Callable[[Array, Key], ActionSample],
    tasks: Task,
    state: RolloutState,
    key: Key,
    num_steps: int,
) -> tuple[RolloutState, Transition]:
    """Runs all environments for `num_steps` steps; an episode that ends is followed by a fresh one of the same task.

    Returns:
      Where the environments stand afterwards, and the transitions, `[N, E, T]`.
    """

    def step(state: RolloutState, key: Key) -> tuple[RolloutState, Transition]:
        key_act, key_reset = jax.random.split(key)
        sample = act(state.obs, key_act)
        env_state, timestep = _over_envs(env.step, tasks)(state.env_state, sample.action)
        time, episode_return = state.time + 1, state.episode_return + timestep.reward
        last = timestep.terminated | (time >= env.spec.horizon)
        transition = Transition(
            obs_tm1=state.obs,
            action_tm1=sample.raw,
            dist_tm1=sample.dist,
            log_prob_tm1=sample.log_prob,
            reward_t=timestep.reward,
            terminated_t=timestep.terminated,
            last_t=last,
            obs_t=timestep.obs,
            time_tm1=state.time,
            return_t=episode_return,
        )
        ahead = RolloutState(env_state, timestep.obs, time, episode_return)

        def reset_finished(ahead: RolloutState) -> RolloutState:
            fresh_state, fresh_step = _reset(env, tasks, key_reset, time.shape)
            fresh = RolloutState(fresh_state, fresh_step.obs, jnp.zeros_like(time), jnp.zeros_like(episode_return))
            return jax.tree.map(lambda f, a: jnp.where(_expand(last, a), f, a), fresh, ahead)

        # One predicate for the whole batch: resets cost nothing on the steps that end no episode.
        return jax.lax.cond(last.any(), reset_finished, lambda ahead: ahead, ahead), transition

    state, transitions = jax.lax.scan(step, state, jax.random.split(key, num_steps))
    return state, jax.tree.map(lambda x: jnp.moveaxis(x, 0, 2), transitions)


def first_episode_return(transitions: Transition) -> Array:
    """Undiscounted return of the first episode of each rollout that began with one, `[N, E]`; later ones are ignored."""
    ended_before = jnp.cumsum(transitions.last_t, axis=-1) - transitions.last_t > 0
    return jnp.sum(jnp.where(ended_before, 0.0, transitions.reward_t), axis=-1)


def record(
    env: MetaEnv, act: Callable[[Array, Key], Array], task: Task, key: Key, num_steps: int
) -> tuple[EnvState, TimeStep]:
    """One world from a reset on, watched at every step; a termination or the time limit does not stop it.

    Args:
      env: to reset and step.
      act: obs `[obs_dim]`, key -> action `[action_dim]` within the bounds.
      task: one, unbatched.
      key: of reset and actions.
      num_steps: T.

    Returns:
      The T + 1 states, the first after the reset, and the T answers of `step`, on leading axes.
    """
    key_reset, key = jax.random.split(key)
    first, timestep = env.reset(key_reset, task)

    def step(carry: tuple[EnvState, Array], key: Key):
        state, obs = carry
        state, timestep = env.step(state, act(obs, key), task)
        return (state, timestep.obs), (state, timestep)

    _, (later, timesteps) = jax.lax.scan(step, (first, timestep.obs), jax.random.split(key, num_steps))
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, later), timesteps


def _reset(env: MetaEnv, tasks: Task, key: Key, shape: tuple[int, int]):
    return jax.vmap(jax.vmap(env.reset, in_axes=(0, None)))(jax.random.split(key, shape), tasks)


def _over_envs(step: Callable, tasks: Task) -> Callable:
    """`step(state, action, task)` over `[N, E]` states and actions; the E environments of a task share it."""
    return lambda states, actions: jax.vmap(jax.vmap(step, in_axes=(0, 0, None)))(states, actions, tasks)


def _expand(flag: Array, like: Array) -> Array:
    return flag.reshape(flag.shape + (1,) * (like.ndim - flag.ndim))
