"""Our environments for Stable-Baselines3, which steps no vector environment but those of its own class."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from ...types import Split
from .gymnasium import MetaVectorEnv, as_gymnasium


def as_sb3(
    name: str,
    num_envs: int,
    seed: int | None = None,
    *,
    physics: str = "auto",
    horizon: int | None = None,
    split: Split = "train",
) -> "MetaVecEnv":
    """An environment or suite as Stable-Baselines3's `VecEnv`: `PPO("MlpPolicy", as_sb3("metaworld/reach-v3/mt1", 64))`.

    Arguments are those of `as_gymnasium`.
    """
    return MetaVecEnv(as_gymnasium(name, num_envs, seed, physics=physics, horizon=horizon, split=split))


class MetaVecEnv(VecEnv):
    """A `MetaVectorEnv` behind the interface of Stable-Baselines3.

    At the end of an episode infos hold what its algorithms and its `Monitor` tell: `terminal_observation`, `TimeLimit.truncated`,
    `episode` (return, length), and where the environment names success `is_success`: whether any step solved the task.
    """

    def __init__(self, worlds: MetaVectorEnv):
        self.worlds = worlds
        super().__init__(worlds.num_envs, worlds.single_observation_space, worlds.single_action_space)
        self._actions: Any = None
        self._forget(np.ones(self.num_envs, bool))

    def reset(self) -> np.ndarray:
        """See `VecEnv`."""
        seed = self._seeds[0]
        self._reset_seeds()
        self._forget(np.ones(self.num_envs, bool))
        return self.worlds.reset(seed=seed)[0]

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        obs, rewards, terminated, truncated, told = self.worlds.step(self._actions)
        done = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        if "success" in told:
            self._solved |= told["success"] > 0
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done):
            episode = {"r": float(self._returns[i]), "l": int(self._lengths[i])}
            infos[i] = {"terminal_observation": told["final_obs"][i], "TimeLimit.truncated": bool(truncated[i])}
            infos[i] |= {"episode": episode}
            if "success" in told:
                infos[i]["is_success"] = bool(self._solved[i] or told["final_info"]["success"][i] > 0)
        self._forget(done)
        return obs, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        self.worlds.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.worlds, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.worlds, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Calls a method of the worlds, all of them together: `env_method("set_tasks", tasks)`."""
        return [getattr(self.worlds, method_name)(*method_args, **method_kwargs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """As one that Stable-Baselines3 has wrapped in its `Monitor`, whose work is done here."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._get_indices(indices)]

    def _forget(self, where: np.ndarray) -> None:
        """Begins to count anew in some worlds."""
        if where.all():
            self._returns, self._lengths = np.zeros(self.num_envs), np.zeros(self.num_envs, int)
            self._solved = np.zeros(self.num_envs, bool)
        else:
            self._returns[where], self._lengths[where], self._solved[where] = 0.0, 0, False
