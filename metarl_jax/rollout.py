"""Collecting experience: a scan over time, vmapped over environments and tasks.

The only place that resets episodes, and the only one that knows how a suite shares a batch among its environments.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import sharding
from .errors import ConfigError, nearest_multiples
from .types import Array, EnvSpec, EnvState, History, Key, MetaEnv, Suite, Task, TimeStep, Transition


class ActionSample(NamedTuple):
    """What a policy decided; every field `[N, E, ...]`."""

    raw: Array  # as drawn, before the environment's bounds
    action: Array  # as the environment is given it
    dist: Any  # parameters of the distribution it was drawn from
    log_prob: Array


# Observations `[N, E, obs_dim]`, histories, key -> carries of the policy's memory, and what it decided.
Act = Callable[[Array, History, Key], tuple[Any, ActionSample]]
# Observations, actions as drawn, time steps after them, whether episodes ended with them -> rewards in the place of theirs.
Imagine = Callable[[Array, Array, TimeStep, Array], Array]


class RolloutState(NamedTuple):
    """Where `[N, E]` environments stand."""

    env_state: EnvState
    obs: Array  # [N, E, obs_dim]
    time: Array  # [N, E] int, steps since the episode began
    episode_return: Array  # [N, E], undiscounted reward since then
    solved: Array  # [N, E] bool, success since then
    history: History  # [N, E, ...]


def check_num_tasks(env: MetaEnv | Suite, num_tasks: int, name: str) -> None:
    """ConfigError unless `num_tasks`, a setting called `name`, can be split evenly over the environments of a suite."""
    count = len(env.envs) if isinstance(env, Suite) else 1
    if num_tasks % count:
        raise ConfigError(
            f"{name} {num_tasks} cannot be split evenly over the {count} environments of {env.spec.name!r}: take "
            f"{nearest_multiples(count, num_tasks)}."
        )


def sample_tasks(env: MetaEnv | Suite, key: Key, num_tasks: int) -> Task:
    """N tasks, leaves `[N, ...]`; of a suite, a tuple of N/M tasks of each environment.

    Of a finite family each task is drawn once before one is drawn again, so that N = M draws are all of its tasks.
    """
    if isinstance(env, Suite):
        share = num_tasks // len(env.envs)
        keys = jax.random.split(key, len(env.envs))
        return tuple(sample_tasks(member, k, share) for member, k in zip(env.envs, keys, strict=True))
    if env.tasks is None:
        return sharding.split_tasks(jax.vmap(env.sample_task)(jax.random.split(key, num_tasks)))
    size = len(jax.tree.leaves(env.tasks)[0])
    rounds = jax.random.split(key, -(-num_tasks // size))
    order = jax.vmap(lambda k: jax.random.permutation(k, size))(rounds).ravel()[:num_tasks]
    return sharding.split_tasks(jax.tree.map(lambda x: x[order], env.tasks))


def checked_tasks(given: Task, wanted: Task, subject: str, theirs: str) -> Task:
    """`given` in the types of `wanted`, arrays or what `jax.eval_shape` says of them; a message has `subject` and `theirs`.

    Raises:
      ConfigError: they have other shapes.
    """
    shapes, right = (jax.tree.map(np.shape, tree) for tree in (given, wanted))
    if shapes != right:
        raise ConfigError(f"{subject} the shapes {shapes}, those of {theirs} {right}.")
    return jax.tree.map(lambda x, like: jnp.asarray(x, like.dtype), given, wanted)


def no_history(spec: EnvSpec, shape: tuple[int, int], carry: Any = ()) -> History:
    """The history at the beginning of `shape` = (N, E) rollouts of policies with the memories `carry`."""
    zeros = jnp.zeros(shape)
    return History(carry, jnp.zeros((*shape, spec.action_dim)), zeros, zeros.astype(bool))


def start(
    env: MetaEnv | Suite, tasks: Task, key: Key, shape: tuple[int, int], history: History | None = None
) -> RolloutState:
    """Begins E episodes of each of N tasks; `shape` is (N, E), `history` that of a policy with a memory."""
    history = no_history(env.spec, shape) if history is None else history
    return _at_start(*_reset(env, tasks, key, shape), history)


def _at_start(env_state: EnvState, timestep: TimeStep, history: History) -> RolloutState:
    zeros = jnp.zeros_like(timestep.reward)
    return RolloutState(env_state, timestep.obs, zeros.astype(int), zeros, zeros.astype(bool), history)


def collect(
    env: MetaEnv | Suite,
    act: Act,
    tasks: Task,
    state: RolloutState,
    key: Key,
    num_steps: int,
    imagine: Imagine | None = None,
    with_info: bool = False,
) -> tuple[RolloutState, Transition]:
    """Runs all environments for `num_steps` steps; an episode that ends is followed by a fresh one of the same task.

    Args:
      env: to step.
      act: the policy.
      tasks: N of them.
      state: where the environments stand.
      key: of actions and resets.
      num_steps: T.
      imagine: where given, says what the rewards are.
      with_info: whether transitions hold what the environment says of its steps (`info_t`).

    Returns:
      Where the environments stand afterwards, and the transitions, `[N, E, T]`.
    """

    def step(state: RolloutState, key: Key) -> tuple[RolloutState, Transition]:
        key_act, key_reset = jax.random.split(key)
        carry, sample = act(state.obs, state.history, key_act)
        env_state, timestep = _step(env, tasks, state.env_state, sample.action)
        timestep = without_garbage(timestep, state.obs)
        time = state.time + 1
        solved = state.solved | (timestep.info["success"] > 0) if env.spec.has_success else state.solved
        last = timestep.terminated | (time >= env.spec.horizon)
        for cut_off in (timestep.truncated, timestep.unstable):
            last = last if cut_off is None else last | cut_off
        if imagine is not None:
            timestep = timestep._replace(reward=imagine(state.obs, sample.raw, timestep, last))
        episode_return = state.episode_return + timestep.reward
        transition = Transition(
            obs_tm1=state.obs,
            action_tm2=state.history.action,
            reward_tm1=state.history.reward,
            last_tm1=state.history.last,
            action_tm1=sample.raw,
            dist_tm1=sample.dist,
            log_prob_tm1=sample.log_prob,
            reward_t=timestep.reward,
            terminated_t=timestep.terminated,
            last_t=last,
            obs_t=timestep.obs,
            time_tm1=state.time,
            return_t=episode_return,
            success_t=solved,
            unstable_t=timestep.unstable,
            shaped_t=timestep.info.get("shaped_reward"),
            info_t=timestep.info if with_info else {},
        )
        history = History(carry, sample.raw, timestep.reward, last)
        ahead = RolloutState(env_state, timestep.obs, time, episode_return, solved, history)
        return _where_any(last, reset_finished, ahead, (tasks, key_reset)), transition

    def reset_finished(last: Array, ahead: RolloutState, tasks: Task, key: Key) -> RolloutState:
        fresh = _at_start(*_restart(env, tasks, key, last, ahead.env_state), ahead.history)
        env_state = _choose(env, last, fresh.env_state, ahead.env_state)
        nothing: Any = ()  # in place of what is not chosen leaf by leaf
        rest = _where(
            last, fresh._replace(env_state=(), history=nothing), ahead._replace(env_state=(), history=nothing)
        )
        return rest._replace(env_state=env_state, history=ahead.history)

    state, transitions = jax.lax.scan(step, state, jax.random.split(key, num_steps))
    return state, jax.tree.map(lambda x: jnp.moveaxis(x, 0, 2), transitions)


def run_episodes(
    env: MetaEnv | Suite, act: Act, tasks: Task, key: Key, shape: tuple[int, int], history: History
) -> tuple[RolloutState, Transition]:
    """One episode per environment (more where they terminate early), begun anew with `history`; `collect`s one horizon."""
    key_start, key_run = jax.random.split(key)
    state = start(env, tasks, key_start, shape, history)
    return collect(env, act, tasks, state, key_run, env.spec.horizon)


class Outcome(NamedTuple):
    """How episodes went."""

    returns: Array  # [N, E], undiscounted
    success: Array  # [N, E] bool: solved at any step; False where the environment names no success


def episode_outcome(transitions: Transition, index: int = 0) -> Outcome:
    """Of the `index`-th episode of each rollout that began with one; 0 of one that the rollout did not reach."""
    ends_before = jnp.cumsum(transitions.last_t, axis=-1) - transitions.last_t
    inside = ends_before == index
    return Outcome(
        jnp.sum(jnp.where(inside, transitions.reward_t, 0.0), axis=-1), jnp.any(inside & transitions.success_t, axis=-1)
    )


def unstable_worlds(transitions: Transition) -> Array | None:
    """In how many of N x E worlds the simulation blew up, `[]`; None of environments where it cannot."""
    return None if transitions.unstable_t is None else transitions.unstable_t.any(axis=-1).sum()


def by_env(env: MetaEnv | Suite, values: Array) -> dict[str, Array]:
    """`values` `[N, ...]` of the environments of a suite, by name, `[N/M, ...]` each; {} where there is but one."""
    if not isinstance(env, Suite):
        return {}
    parts = jnp.split(values, len(env.envs))
    return {member.spec.name: part for member, part in zip(env.envs, parts, strict=True)}


def record(env: MetaEnv, act: Act, task: Task, history: History, key: Key, num_steps: int) -> tuple[EnvState, TimeStep]:
    """One world from a reset on, watched at every step; a termination, the time limit or that it blows up do not stop it.

    Args:
      env: to reset and step.
      act: as for `collect`, of N = E = 1.
      task: one, unbatched.
      history: what the policy begins with, `[1, 1, ...]`.
      key: of reset and actions.
      num_steps: T.

    Returns:
      The T + 1 states, the first after the reset, and the T answers of `step`, on leading axes.
    """
    key_reset, key = jax.random.split(key)
    first, timestep = env.reset(key_reset, task)

    def step(before: tuple[EnvState, Array, History], key: Key):
        state, obs, history = before
        carry, sample = act(obs[None, None], history, key)
        state, timestep = env.step(state, sample.action[0, 0], task)
        timestep = without_garbage(timestep, obs)
        history = History(carry, sample.raw, timestep.reward[None, None], timestep.terminated[None, None])
        return (state, timestep.obs, history), (state, timestep)

    _, (later, timesteps) = jax.lax.scan(step, (first, timestep.obs, history), jax.random.split(key, num_steps))
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, later), timesteps


def row(env: MetaEnv | Suite, tasks: Task, index: int) -> tuple[MetaEnv, Task]:
    """The environment and the task in one row of a batch of tasks."""
    if isinstance(env, Suite):
        share = len(jax.tree.leaves(tasks[0])[0])
        return row(env.envs[index // share], tasks[index // share], index % share)
    return env, jax.tree.map(lambda x: x[index], tasks)


def _reset(env: MetaEnv | Suite, tasks: Task, key: Key, shape: tuple[int, int]) -> tuple[EnvState, TimeStep]:
    """Begins `[N, E]` episodes."""
    if isinstance(env, Suite):
        keys, share = jax.random.split(key, len(env.envs)), (shape[0] // len(env.envs), shape[1])
        return _join(_reset(*each, share) for each in zip(env.envs, tasks, keys, strict=True))
    reset = sharding.over_tasks(jax.vmap(jax.vmap(env.reset, in_axes=(0, None))))
    return reset(jax.random.split(key, shape), tasks)


def _restart(env: MetaEnv | Suite, tasks: Task, key: Key, ended: Array, states: EnvState) -> tuple[EnvState, TimeStep]:
    """Begins episodes anew where `ended` `[N, E]`; what it returns elsewhere means nothing."""
    if isinstance(env, Suite):
        keys, parts = jax.random.split(key, len(env.envs)), jnp.split(ended, len(env.envs))
        return _join(_restart(*each) for each in zip(env.envs, tasks, keys, parts, states, strict=True))
    restart = getattr(env, "restart", None)
    if restart is None:
        return _reset(env, tasks, key, (ended.shape[0], ended.shape[1]))
    restart = sharding.over_tasks(jax.vmap(jax.vmap(restart, in_axes=(0, 0, 0, None))))
    return restart(ended, states, jax.random.split(key, ended.shape), tasks)


def _step(env: MetaEnv | Suite, tasks: Task, states: EnvState, actions: Array) -> tuple[EnvState, TimeStep]:
    """Steps `[N, E]` environments; the E environments of a task share it."""
    if isinstance(env, Suite):
        parts = jnp.split(actions, len(env.envs))
        if env.step is not None:
            return _join(sharding.over_tasks(env.step)(states, tuple(parts), tasks))
        return _join(_step(*each) for each in zip(env.envs, tasks, states, parts, strict=True))
    return sharding.over_tasks(jax.vmap(jax.vmap(env.step, in_axes=(0, 0, None))))(states, actions, tasks)


def without_garbage(timestep: TimeStep, obs_before: Array) -> TimeStep:
    """A time step of which all may be used: nothing happens in a step in which the simulation blows up.

    There the observation is the one before, so that a value bootstraps from the last state that was one; the reward is 0.
    What is not a number is a sign of it, whatever the simulator says.
    """
    if timestep.unstable is None:
        return timestep
    finite = jnp.isfinite(timestep.reward) & jnp.isfinite(timestep.obs).all(axis=-1)
    unstable = timestep.unstable | ~finite
    nothing = jax.tree.map(jnp.zeros_like, timestep)._replace(obs=obs_before)
    return _where(unstable, nothing, timestep)._replace(unstable=unstable)


def _join(parts: Iterable[tuple[EnvState, TimeStep]]) -> tuple[EnvState, TimeStep]:
    states, timesteps = zip(*parts, strict=True)
    return states, jax.tree.map(lambda *x: jnp.concatenate(x), *timesteps)


def _choose(env: MetaEnv | Suite, flag: Array, states: EnvState, others: EnvState) -> EnvState:
    """`states` where `flag` `[N, E]`, else `others`."""
    if isinstance(env, Suite):
        parts = jnp.split(flag, len(env.envs))
        return tuple(_choose(*each) for each in zip(env.envs, parts, states, others, strict=True))
    return _where(flag, states, others)


def _where_any(flag: Array, fn: Callable, tree: Any, rest: Any) -> Any:
    """`fn(flag, tree, *rest)` if any flag is set, else `tree`, which `fn` changes where flags are set alone.

    One predicate for the whole batch, also for what vmap adds to it: resets cost nothing on steps that end no episode.
    """

    @jax.custom_batching.custom_vmap
    def apply(flag: Array, tree: Any, rest: Any) -> Any:
        return jax.lax.cond(flag.any(), fn, lambda flag, tree, *rest: tree, flag, tree, *rest)

    @apply.def_vmap
    def apply_batch(size: int, batched: Any, *args: Any) -> tuple[Any, Any]:
        flag, tree, rest = jax.tree.map(lambda x, has: x if has else jnp.stack([x] * size), args, tuple(batched))
        tree = jax.lax.cond(flag.any(), jax.vmap(fn), lambda flag, tree, *rest: tree, flag, tree, *rest)
        return tree, jax.tree.map(lambda _: True, tree)

    return apply(flag, tree, rest)


def _where(flag: Array, tree, other):
    """`jnp.where` on trees with the leading axes of `flag`."""
    return jax.tree.map(
        lambda x, y: jnp.where(flag.reshape(flag.shape + (1,) * (x.ndim - flag.ndim)), x, y), tree, other
    )
