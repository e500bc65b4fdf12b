"""The process behind `workers.Worker`: environments at the end of a pipe.

Run as a file (`python worker.py KIND PIPE MARK`), not as a module of the package, so that it imports no JAX.
"""

import collections
import contextlib
import mmap
import pickle
import runpy
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

INFO = ("success", "near_object", "grasp_success", "grasp_reward", "in_place_reward", "obj_to_target")


def _mend() -> None:
    """Makes the package run on this MuJoCo, where the environments are of the package."""
    if "metaworld" in sys.modules:
        runpy.run_path(str(Path(__file__).with_name("mended.py")))  # nothing here is imported as a part of a package


class Group:
    """Environments stepped one after the other; one that ends an episode is reset in the same step."""

    def __init__(self, mark: mmap.mmap):
        self._mark = mark
        self._envs: list[Any] = []
        self._obs: list[np.ndarray] = []

    def build(self, makers: Sequence[Callable[[], Any]]) -> None:
        _mend()
        for index, make in enumerate(makers):
            self._mark[0] = index
            self._envs.append(make())

    def reset(self) -> np.ndarray:
        """First observations, `[n, obs_dim]`."""
        self._obs = [env.reset()[0] for env in self._each()]
        return np.stack(self._obs)

    def step(self, actions: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, ...]:
        """Steps the environments that are `active` `[n]` with `actions` `[n, action_dim]`.

        Returns:
          What `workers.Step` holds: observations (the next episode's first where one ended), and `[n]` each.
        """
        outcomes = np.zeros((len(self._envs), 6))
        for index, env in enumerate(self._each()):
            if not active[index]:
                continue
            self._obs[index], reward, terminated, truncated, info = env.step(actions[index])
            outcome = outcomes[index]
            outcome[:4] = reward, terminated, truncated, info["success"]
            if terminated or truncated:
                outcome[4:] = info["episode"]["r"], info["episode"]["l"]
                self._obs[index], _ = env.reset()
        return np.stack(self._obs), *outcomes.T

    def call(self, name: str, args: Sequence[tuple]) -> list[Any]:
        """The attribute `name` of each environment, called with its own arguments where it is a method."""
        answers = []
        for env, own in zip(self._each(), args, strict=True):
            attribute = env.get_wrapper_attr(name)
            answers.append(attribute(*own) if callable(attribute) else attribute)
        return answers

    def _each(self) -> Iterator[Any]:
        """The environments; the mark says to the parent which one is being worked on."""
        for index, env in enumerate(self._envs):
            self._mark[0] = index
            yield env


class Simulators:
    """Steps the package's environments from states that are handed in; nothing of an episode stays here.

    What an environment learns of its task in a reset does stay in it, so that the tasks met last keep one each.
    """

    KEPT = 64  # environments, of 18 MiB

    def __init__(self, mark: mmap.mmap):
        self._mark = mark
        self._kept: collections.OrderedDict[tuple[int, bytes], _Simulator] = collections.OrderedDict()

    def build(self, classes: Sequence[type], show_goal: bool, reward: str) -> None:
        self._classes, self._hide_goal, self._reward = classes, not show_goal, reward

    def begin(self, index: int, vectors: np.ndarray) -> tuple[np.ndarray, ...]:
        """States `[n, S]` and observations `[n, 39]` after resets of class `index` with task vectors `[n, d]`."""
        begun = [self._simulator(index, vector).begun for vector in vectors]
        return tuple(np.stack(x) for x in zip(*begun, strict=True))

    def advance(
        self, index: int, vectors: np.ndarray, states: np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """States, observations, rewards `[n]` and info `[n, len(INFO)]` after a step of each."""
        rows = zip(vectors, states, actions, strict=True)
        stepped = [self._simulator(index, vector).advance(state, action) for vector, state, action in rows]
        return tuple(np.stack(x) for x in zip(*stepped, strict=True))

    def _simulator(self, index: int, vector: np.ndarray) -> "_Simulator":
        self._mark[0] = index
        key = index, vector.tobytes()
        if key not in self._kept:
            if len(self._kept) == self.KEPT:
                self._kept.popitem(last=False)
            self._kept[key] = _Simulator(self._classes[index], vector, self._hide_goal, self._reward)
        self._kept.move_to_end(key)
        return self._kept[key]


class _Simulator:
    """One environment with one task."""

    def __init__(self, cls: type, vector: np.ndarray, hide_goal: bool, reward: str):
        import mujoco
        from metaworld import Task

        _mend()
        self._mujoco, self._spec = mujoco, mujoco.mjtState.mjSTATE_INTEGRATION
        self._env = cls(reward_function_version=reward)
        data = {"env_cls": cls, "rand_vec": vector, "partially_observable": hide_goal}
        self._env.set_task(Task(env_name="", data=pickle.dumps(data)))
        obs, _ = self._env.reset()
        self.begun = self._state(), obs

    def advance(self, state: np.ndarray, action: np.ndarray) -> tuple:
        env = self._env
        size = self._mujoco.mj_stateSize(env.model, self._spec)
        self._mujoco.mj_setState(env.model, env.data, state[:size], self._spec)
        env._prev_obs, env.curr_path_length = state[size:], 0  # whoever hands in states counts the steps
        obs, reward, _, _, info = env.step(action)
        return self._state(), obs, reward, [info[name] for name in INFO]

    def _state(self) -> np.ndarray:
        env = self._env
        state = np.empty(self._mujoco.mj_stateSize(env.model, self._spec))
        self._mujoco.mj_getState(env.model, env.data, state, self._spec)
        return np.concatenate([state, env._prev_obs])


def main(kind: type, pipe_handle: int, mark_handle: int) -> None:
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent ends us
    pipe = Connection(pipe_handle)
    # EOF: the parent has closed its end, or is no more.
    with mmap.mmap(mark_handle, 1) as mark, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        sys.path[:] = pipe.recv()
        servant = kind(mark)
        while True:
            command, args = pipe.recv()
            pipe.send(getattr(servant, command)(*args))


if __name__ == "__main__":
    main({"Group": Group, "Simulators": Simulators}[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
