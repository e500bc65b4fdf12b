"""The process behind `workers.Worker`: a group of environments at the end of a pipe.

Run as a file (`python worker.py PIPE MARK`), not as a module of the package, so that it imports no JAX.
"""

import contextlib
import mmap
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np


class Group:
    """Environments stepped one after the other; one that ends an episode is reset in the same step."""

    def __init__(self, mark: mmap.mmap):
        self._mark = mark
        self._envs: list[Any] = []
        self._obs: list[np.ndarray] = []

    def build(self, makers: Sequence[Callable[[], Any]]) -> None:
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


def main(pipe_handle: int, mark_handle: int) -> None:
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent ends us
    pipe = Connection(pipe_handle)
    # EOF: the parent has closed its end, or is no more.
    with mmap.mmap(mark_handle, 1) as mark, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        sys.path[:] = pipe.recv()
        group = Group(mark)
        while True:
            command, args = pipe.recv()
            pipe.send(getattr(group, command)(*args))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
