"""Drives the installed `metaworld` package, and translates its states into ours."""

import functools
import pickle
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from metaworld import Task
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv

from ...envs.metaworld.env import MetaWorldEnv, State
from ...envs.metaworld.expert import scripted_policy
from ...types import TimeStep
from . import mended  # noqa: F401  # the package's environments could not be made without
from .worker import INFO

Start = Literal["as is", "rounded", "shaken"]
Act = Callable[[np.ndarray], np.ndarray]  # observation [39] -> action [4]


class Episode(NamedTuple):
    """What the package did from a reset on; T steps."""

    first_obs: np.ndarray  # [39]
    qpos: np.ndarray  # [T, nq] before each step, and so the next four
    qvel: np.ndarray  # [T, nv]
    warmstart: np.ndarray  # [T, nv]
    hand: np.ndarray  # [T, 3] mocap position
    seen: np.ndarray  # [T, 18] what was observed, unclipped, without the goal
    action: np.ndarray  # [T, 4] single precision numbers
    next_qpos: np.ndarray  # [T, nq]
    obs: np.ndarray  # [T, 39]
    reward: np.ndarray  # [T]
    info: dict[str, np.ndarray]  # [T] each


def make_reference(name: str, vector: np.ndarray, show_goal: bool, reward: str = "v2") -> SawyerXYZEnv:
    """The package's environment with its task set."""
    env = ALL_V3_ENVIRONMENTS[name](reward_function_version=reward)
    set_vector(env, vector, show_goal)
    return env


def set_vector(env: SawyerXYZEnv, vector: np.ndarray, show_goal: bool) -> None:
    """Gives the package's environment another task."""
    data = {"env_cls": type(env), "rand_vec": vector, "partially_observable": not show_goal}
    env.set_task(Task(env_name="", data=pickle.dumps(data)))


def task_vectors(tasks: list[Task]) -> np.ndarray:
    """The task vectors `[n, d]` of tasks of one family, as a benchmark of the package lists them."""
    return np.array([pickle.loads(task.data)["rand_vec"] for task in tasks])


def expert(name: str, noise: float) -> Act:
    """The package's scripted policy with normal noise on its actions, clipped to their bounds; the goal must be shown."""
    rng, scripted = np.random.default_rng(0), scripted_policy(name)
    return lambda obs: np.clip(scripted(obs) + noise * rng.normal(size=4), -1, 1).astype(np.float32)


def expert_episode(env: SawyerXYZEnv, name: str, num_steps: int, noise: float, start: Start = "as is") -> Episode:
    """Steps of the package's scripted policy; see `expert` and `play`."""
    return play(env, expert(name, noise), num_steps, start)


def replay(env: SawyerXYZEnv, episode: Episode, start: Start, seed: int = 0) -> Episode:
    """The same actions once more, from the package's own reset; see `play`."""
    actions = iter(episode.action.astype(np.float32))
    return play(env, lambda obs: next(actions), len(episode.action), start, seed)


def play(env: SawyerXYZEnv, act: Act, num_steps: int, start: Start = "as is", seed: int = 0) -> Episode:
    """Resets the package's environment and steps it.

    Args:
      env: the package's environment.
      act: what to do.
      num_steps: T.
      start: how a step begins: "as is"; "rounded", from the state in single precision; "shaken", from one that differs at
        random by up to a unit in the last place of single precision. It matters: a loose object on edge turns a rounded state
        (1e-8) into another way of rocking (1e-4) within one step.
      seed: of the shaking.
    """
    first_obs, _ = env.reset()
    obs, data, rng, steps = first_obs, env.data, np.random.default_rng(seed), []
    for _ in range(num_steps):
        action = act(obs)
        for array in (data.qpos, data.qvel, data.qacc_warmstart, data.mocap_pos):
            if start == "rounded":
                array[:] = array.astype(np.float32)
            if start == "shaken":
                array += rng.uniform(-1, 1, array.shape) * np.spacing(np.abs(array).astype(np.float32))
        state = (data.qpos, data.qvel, data.qacc_warmstart, data.mocap_pos[0], np.array(env._prev_obs))
        before = [x.copy() for x in state]
        obs, reward, _, _, info = env.step(action)
        steps.append((*before, action, data.qpos.copy(), obs, reward, [info[key] for key in INFO]))
    *columns, info = (np.array(x, np.float64) for x in zip(*steps, strict=True))
    return Episode(first_obs, *columns, dict(zip(INFO, info.T, strict=True)))


def first_step(env: MetaWorldEnv, vector: np.ndarray) -> tuple[State, TimeStep]:
    """Our reset to a task."""
    return _compiled(env)["reset"](jax.random.key(0), jnp.asarray(vector, float))


def translated_states(env: MetaWorldEnv, vector: np.ndarray, episode: Episode) -> State:
    """Our states before each of the episode's steps, leaves `[T, ...]`."""
    first, _ = first_step(env, vector)
    states = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(episode.action), *x.shape)), first)
    physics = states.physics._replace(
        qpos=jnp.asarray(episode.qpos, float),
        qvel=jnp.asarray(episode.qvel, float),
        warmstart=jnp.asarray(episode.warmstart, float),
        mocap_pos=states.physics.mocap_pos.at[:, env.scene.hand].set(jnp.asarray(episode.hand, float)),
    )
    return states._replace(physics=physics, seen=jnp.asarray(episode.seen, float))


def step_errors(env: MetaWorldEnv, vector: np.ndarray, episode: Episode) -> dict[str, np.ndarray]:
    """Relative errors `[T]` of what our environment says after one step from each of the episode's states, by name."""
    states = translated_states(env, vector, episode)
    after, timestep = _compiled(env)["step_each"](
        states, jnp.asarray(episode.action, jnp.float32), jnp.asarray(vector, float)
    )
    ours = {"qpos": after.physics.qpos, "obs": timestep.obs, "reward": timestep.reward, **timestep.info}
    theirs = {"qpos": episode.next_qpos, "obs": episode.obs, "reward": episode.reward, **episode.info}
    errors = {key: relative_error(ours[key], theirs[key]) for key in theirs}
    return {key: error.reshape(len(error), -1).max(axis=1) for key, error in errors.items()}


def free_run(env: MetaWorldEnv, vectors: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Observations `[N, T, 39]` when the actions `[N, T, 4]` are played from our own resets to the tasks `[N, d]`."""
    return np.asarray(_compiled(env)["runs"](jnp.asarray(vectors, float), jnp.asarray(actions, jnp.float32)))


def apart(obs: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances `[...]`, m, of the hands or the objects in two observations `[..., 39]`, whichever are further apart."""
    positions = [slice(0, 3), slice(4, 7), slice(11, 14)]
    return np.max([np.linalg.norm(obs[..., p] - other[..., p], axis=-1) for p in positions], axis=0)


def free_running_error(env: MetaWorldEnv, vector: np.ndarray, episode: Episode) -> np.ndarray:
    """Distances `[T]`, m, of hand and objects from the episode's, when its actions are played from our own reset."""
    return apart(free_run(env, vector[None], episode.action[None])[0], episode.obs)


@functools.lru_cache(maxsize=2)
def _compiled(env: MetaWorldEnv) -> dict[str, Any]:
    """Compiled once for all tasks of an environment."""

    def run(task: jax.Array, actions: jax.Array) -> jax.Array:
        def step(state: State, action: jax.Array):
            state, timestep = env.step(state, action, task)
            return state, timestep.obs

        return jax.lax.scan(step, env.reset(jax.random.key(0), task)[0], actions)[1]

    step_each = jax.vmap(env.step, in_axes=(0, 0, None))
    return {"reset": jax.jit(env.reset), "step_each": jax.jit(step_each), "runs": jax.jit(jax.vmap(run))}


def relative_error(ours, theirs) -> np.ndarray:
    """|ours - theirs| / (1 + |theirs|), elementwise."""
    theirs = np.asarray(theirs, np.float64)
    return np.abs(np.asarray(ours, np.float64) - theirs) / (1.0 + np.abs(theirs))
