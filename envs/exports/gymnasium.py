"""Any environment or suite of ours as one of Gymnasium's: a batch that is stepped together, or a single one.

Importing this module registers them: `metaworld/reach-v3/mt1` is `metarl/metaworld.reach-v3.mt1`, since Gymnasium's names have
but one slash.
"""

import copy
import functools
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from ... import rollout
from ...errors import ConfigError
from ...types import Array, EnvSpec, Key, MetaEnv, Split, Suite, Task
from .. import ENVIRONMENTS, METAWORLD, METAWORLD_SUITES, make


def as_gymnasium(
    name: str,
    num_envs: int = 1,
    seed: int | None = None,
    *,
    physics: str = "auto",
    horizon: int | None = None,
    split: Split = "train",
) -> "MetaVectorEnv":
    """An environment or suite as `gymnasium.vector.VectorEnv`; see `MetaVectorEnv`.

    Args:
      name: see `metarl_jax.envs.make`, as for `physics`, `horizon` and `split`.
      num_envs: worlds, each with a task of its own; of a suite a multiple of its environments.
      seed: of tasks and episodes until `reset` is given one; a random one where left out.
      physics: see there.
      horizon: see there.
      split: see there.

    Raises:
      ConfigError: unknown name or backend, or a number of worlds that does not fit.
    """
    return MetaVectorEnv(make(name, physics=physics, horizon=horizon, split=split), num_envs, seed)


class MetaVectorEnv(VectorEnv):
    """N worlds, stepped together by one compiled program.

    Each has a task, which outlives its episodes: the first `reset`, and one with a seed, draws them (of a finite family each
    once before one comes again), unless `set_tasks` has given some. An episode that ends is followed by a fresh one of the
    same task in the same step (`AutoresetMode.SAME_STEP`): `infos["final_obs"]` and `infos["final_info"]` are of its end. A
    time limit truncates, and so does a simulation that blows up.

    In infos is what the environment says of a step (`success` and more, where it names it), and where episodes begin `task`, and
    of a suite `task_env`. Actions are clipped to their bounds.
    """

    def __init__(self, env: MetaEnv | Suite, num_envs: int, seed: int | None = None):
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, not {num_envs}.")
        rollout.check_num_tasks(env, num_envs, "num_envs")
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self.num_envs, self._env, self._first_seed = num_envs, env, seed
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (env.spec.obs_dim,), np.float32)
        self.single_action_space = action_space(env.spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._draw = jax.jit(lambda key: rollout.sample_tasks(env, key, num_envs))
        self._begin = jax.jit(lambda tasks, key: rollout.start(env, tasks, key, (num_envs, 1)))
        self._advance = jax.jit(functools.partial(_advance, env), donate_argnums=0)
        self._tasks: Task | None = None
        self._tasks_are_given = False
        self._about_tasks: dict[str, Any] = {}
        self._state: rollout.RolloutState | None = None
        self._key: Key | None = None
        self._draws = 0  # of the key

    @property
    def tasks(self) -> Task | None:
        """Of the worlds, leaves `[N, ...]`, of a suite a tuple over its environments; None before the first reset."""
        return self._tasks

    def draw_tasks(self, seed: int) -> Task:
        """Tasks for all worlds, as `set_tasks` takes them."""
        return self._draw(jax.random.key(seed))

    def set_tasks(self, tasks: Task) -> None:
        """Gives the worlds their tasks; `reset` must follow.

        Args:
          tasks: of the form that `draw_tasks` returns.

        Raises:
          ConfigError: they are not.
        """
        wanted = jax.eval_shape(self._draw, jax.random.key(0))
        self._take(rollout.checked_tasks(tasks, wanted, "these tasks have", "draw_tasks() have"))
        self._tasks_are_given, self._state = True, None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode in every world; with a `seed` of new tasks too, unless they were given. There are no options."""
        if options:
            raise ConfigError(f"reset has no options here: leave out {', '.join(options)}.")
        seed = self._first_seed if seed is None and self._key is None else seed
        super().reset(seed=seed)
        if seed is not None or self._key is None:
            self._key, self._draws = jax.random.key(int(self.np_random.integers(2**32))), 0
        self._draws += 1
        key_tasks, key_start = jax.random.split(jax.random.fold_in(self._key, self._draws))
        if not self._tasks_are_given and (seed is not None or self._tasks is None):
            self._take(self._draw(key_tasks))
        self._state = self._begin(self._tasks, key_start)
        return np.array(self._state.obs[:, 0]), self._of_tasks(np.ones(self.num_envs, bool))

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """See `VectorEnv`; `actions` are `[N, action_dim]`, or `[N]` where they are discrete."""
        if self._state is None:
            raise ResetNeeded("call reset() before step(), also after set_tasks().")
        actions = self._checked(np.asarray(actions))
        self._draws += 1
        self._state, obs, said = self._advance(self._state, self._tasks, actions, self._key, self._draws)
        obs, said = jax.device_get((obs, said))
        ended, terminated = np.array(said.last_t), np.array(said.terminated_t)
        # Where an episode ended, what is told is that of the reset, after which nothing has happened yet.
        told = {name: np.where(ended, 0, x).astype(x.dtype) for name, x in said.info_t.items()}
        infos = _marked(told, np.ones(self.num_envs, bool))
        if ended.any():
            infos |= _told_of_ends(said) | self._of_tasks(ended)
        return np.array(obs), said.reward_t.astype(float), terminated, ended & ~terminated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """Lets the worlds go."""
        self._state = None

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        """`actions`; ConfigError where they are none."""
        if actions.shape != self.action_space.shape:
            raise ConfigError(f"actions must have the shape {self.action_space.shape}, not {actions.shape}.")
        if self._env.spec.discrete:
            if actions.dtype.kind not in "iu" or not ((actions >= 0) & (actions < self._env.spec.action_dim)).all():
                raise ConfigError(f"actions must be whole numbers in [0, {self._env.spec.action_dim}), not {actions}.")
        elif not np.isfinite(actions).all():
            raise ConfigError(f"actions must be finite, not {actions}.")
        return actions.astype(self.single_action_space.dtype)

    def _take(self, tasks: Task) -> None:
        self._tasks, self._about_tasks = tasks, _describe(self._env, tasks, self.num_envs)

    def _of_tasks(self, where: np.ndarray) -> dict[str, Any]:
        """What infos hold of the tasks of some worlds."""
        return _marked(copy.deepcopy(self._about_tasks), where)


class MetaSingleEnv(gymnasium.Env):
    """One world of a `MetaVectorEnv`, which nothing but `reset` begins anew."""

    def __init__(self, env: MetaEnv | Suite, seed: int | None = None):
        self.worlds = MetaVectorEnv(env, 1, seed)
        self._over = False
        self.observation_space, self.action_space = (
            self.worlds.single_observation_space,
            self.worlds.single_action_space,
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See `MetaVectorEnv.reset`."""
        super().reset(seed=seed)
        obs, infos = self.worlds.reset(seed=seed, options=options)
        self._over = False
        return obs[0], _of_one(infos)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env`."""
        if self._over:
            raise ResetNeeded("the episode has ended: call reset() before step().")
        obs, reward, terminated, truncated, infos = self.worlds.step(np.asarray(action)[None])
        info = _of_one(infos)
        self._over = bool(terminated[0] or truncated[0])
        if self._over:
            obs, info = infos["final_obs"], info | _of_one(infos["final_info"])
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info


def make_single(name: str, seed: int | None = None, **options: Any) -> MetaSingleEnv:
    """What `gymnasium.make` makes of a name of ours; see `as_gymnasium`. ConfigError where it is that of a suite."""
    return MetaSingleEnv(make(name, **options), seed)


def action_space(spec: EnvSpec) -> spaces.Box | spaces.Discrete:
    """What a policy may do."""
    if spec.discrete:
        return spaces.Discrete(spec.action_dim)
    return spaces.Box(np.array(spec.action_low, np.float32), np.array(spec.action_high, np.float32), dtype=np.float32)


def names() -> list[str]:
    """Of ours, those that are registered: environments, and Meta-World's tasks and suites with the options that most want."""
    tasks = [f"metaworld/{task}{form}" for task in METAWORLD for form in ("", "/ml1", "/mt1")]
    suites = [f"metaworld/{suite}" for suite in METAWORLD_SUITES]
    return [*ENVIRONMENTS, *tasks, *suites, *(f"{suite}/one-hot" for suite in suites if "/MT" in suite)]


def _advance(
    env: MetaEnv | Suite, state: rollout.RolloutState, tasks: Task, actions: Array, key: Key, draw: int
) -> tuple[rollout.RolloutState, Array, rollout.Transition]:
    """One step of N worlds: where they stand, what is observed there `[N, obs_dim]`, and what happened, leaves `[N, ...]`."""

    def act(obs: Array, history: Any, key: Key) -> tuple[tuple, rollout.ActionSample]:
        if env.spec.discrete:
            raw, action = jax.nn.one_hot(actions, env.spec.action_dim), actions
        else:
            raw = action = jnp.clip(actions, jnp.array(env.spec.action_low), jnp.array(env.spec.action_high))
        return (), rollout.ActionSample(raw[:, None], action[:, None], (), obs[..., 0])

    state, said = rollout.collect(env, act, tasks, state, jax.random.fold_in(key, draw), 1, with_info=True)
    return state, state.obs[:, 0], jax.tree.map(lambda x: x[:, 0, 0], said)


def _told_of_ends(said: rollout.Transition) -> dict[str, Any]:
    """What infos hold where episodes have ended."""
    ended = np.asarray(said.last_t)
    final = np.full(len(ended), None, object)
    for index in np.flatnonzero(ended):
        final[index] = np.array(said.obs_t[index])
    last = said.info_t | ({} if said.unstable_t is None else {"unstable": said.unstable_t})
    info = _marked({name: np.where(ended, x, 0).astype(x.dtype) for name, x in last.items()}, ended)
    return _marked({"final_obs": final, "final_info": info}, ended)


def _describe(env: MetaEnv | Suite, tasks: Task, num_envs: int) -> dict[str, np.ndarray]:
    """The tasks of N worlds, as infos tell them: an array where a task is one, else objects; of a suite also whose they are."""
    if not isinstance(env, Suite) and isinstance(tasks, jax.Array):
        return {"task": np.array(tasks)}
    told, members = np.full(num_envs, None, object), np.full(num_envs, "", object)
    for index in range(num_envs):
        member, task = rollout.row(env, tasks, index)
        told[index], members[index] = jax.tree.map(np.asarray, task), member.spec.name
    return {"task": told} | ({"task_env": members} if isinstance(env, Suite) else {})


def _marked(told: dict[str, Any], where: np.ndarray) -> dict[str, Any]:
    """With the masks of Gymnasium's infos: of which worlds it is told."""
    return told | {f"_{name}": where.copy() for name in told}


def _of_one(infos: dict[str, Any]) -> dict[str, Any]:
    """The first world's part of infos."""
    return {name: x[0] for name, x in infos.items() if not name.startswith(("_", "final_"))}


for _name in names():
    gymnasium.register(
        f"metarl/{_name.replace('/', '.')}",
        entry_point=f"{__name__}:make_single",
        vector_entry_point=f"{__name__}:as_gymnasium",
        kwargs={"name": _name},
    )
