"""Environments of the installed `metaworld` package in worker processes, behind gymnasium's vector interface.

A few processes step a group of environments each: one message to and from every worker per step of all environments.
"""

import mmap
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from ...envs.physics.mujoco import num_threads

TIMEOUT = 120.0  # seconds for a worker to answer; to build ten environments takes about three

Message = tuple[str, tuple]  # a method of `worker.Group`, and its arguments


class WorkerError(RuntimeError):
    """A worker failed for the second time; the message names the task of the environment it was at."""


class _Failure(Exception):
    """A worker died, or did not answer in time."""


class Step(NamedTuple):
    """What n environments say of a step; zeros of those that were not active."""

    obs: np.ndarray  # [n, obs_dim]; where an episode ended, the first observation of the next
    reward: np.ndarray  # [n]
    terminated: np.ndarray  # [n]
    truncated: np.ndarray  # [n]
    success: np.ndarray  # [n], of this step
    episode_return: np.ndarray  # [n]; 0 where no episode ended
    episode_length: np.ndarray  # [n]; 0 where no episode ended


class Worker:
    """A process with environments. Where it fails, it is replaced once, and brought back to where it was.

    For that it keeps the calls since the beginning, and what came since the last reset of all environments: they determine
    an environment's state, whose physics is deterministic.

    Args:
      kind: "Group" or "Simulators", a class in worker.py, whose methods are the commands.
      names: of the environments' tasks, for messages.
      timeout: seconds it may take to answer.
      build: arguments of the first command, `build`; `receive` must follow.
    """

    def __init__(self, kind: str, names: Sequence[str], timeout: float, *build: Any):
        self._kind, self._names, self._timeout = kind, names, timeout
        self._calls: list[Message] = []
        self._since_reset: list[Message] = []
        self._replaced = False
        self._start()
        self.send("build", *build)

    def send(self, command: str, *args: Any) -> None:
        """Asks for something; `receive` must follow."""
        self._pending = command, args
        self._post(self._pending)

    def receive(self) -> Any:
        """The answer to the latest `send`; WorkerError where the replacement fails too."""
        try:
            answer = self._answer()
        except _Failure as failure:
            answer = self._replace(failure)
        command = self._pending[0]
        if command == "reset":
            self._since_reset.clear()
        if command in ("build", "call"):
            self._calls.append(self._pending)
        elif command in ("reset", "step"):  # not the commands of Simulators, which leave nothing behind
            self._since_reset.append(self._pending)
        return answer

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._mark.close()

    def _start(self) -> None:
        # Not multiprocessing: JAX has threads, so fork may deadlock, and spawn would import our package in the child.
        ours, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as file:
            file.truncate(1)
            self._mark = mmap.mmap(file.fileno(), 1)
            handles = theirs.fileno(), file.fileno()
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("worker.py")), self._kind, *map(str, handles)],
                pass_fds=handles,
                stdin=subprocess.DEVNULL,
                stdout=2,  # what environments print must not mix with our output
            )
        self._pipe = Connection(ours.detach())
        self._post(sys.path)

    def _post(self, message: Any) -> None:
        try:
            self._pipe.send(message)
        except OSError:  # it died; `receive` will tell
            return

    def _answer(self) -> Any:
        try:
            if self._pipe.poll(self._timeout):
                return self._pipe.recv()
            what = f"did not answer for {self._timeout:g} s"
        except (EOFError, OSError):
            what = f"died (exit code {self._process.wait()})"
        raise _Failure(f"an environment of {self._names[self._mark[0]]!r} {what}")

    def _replace(self, failure: _Failure) -> Any:
        if self._replaced:
            raise WorkerError(f"{failure}; its worker had been restarted before, so this ends the evaluation.")
        print(f"{failure}: its worker is restarted", file=sys.stderr)
        self._replaced = True
        self.stop()
        self._start()
        try:
            for message in (*self._calls, *self._since_reset, self._pending):
                self._post(message)
                answer = self._answer()
        except _Failure as again:
            raise WorkerError(f"{again}, again after its worker was restarted: this ends the evaluation.") from None
        return answer


class WorkerEnvs(gymnasium.vector.VectorEnv):
    """Environments dealt out to workers in turn; where an episode ends, the next one begins within the same step.

    It has what the package's evaluation functions use of gymnasium's vector environments. Close it after use.

    Args:
      makers: build an environment each; pickled by reference, so that workers can import them.
      names: of the environments' tasks, for messages.
      timeout: seconds that a worker may take to answer.
      num_workers: processes; one per processor core where left out.
      on_step: is told how many environments each step has stepped.
    """

    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        makers: Sequence[Callable[[], gymnasium.Env]],
        names: Sequence[str],
        timeout: float = TIMEOUT,
        num_workers: int | None = None,
        on_step: Callable[[int], None] = lambda count: None,
    ):
        self.num_envs, self.names = len(makers), tuple(names)
        self._on_step = on_step
        count = min(num_workers or num_threads(), self.num_envs)
        self._workers = [Worker("Group", names[i::count], timeout, makers[i::count]) for i in range(count)]
        self._receive()

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Begins an episode in all environments; Meta-World's take neither seed nor options."""
        return self._join(self._ask("reset")), {}

    def step(self, actions: np.ndarray, active: np.ndarray | None = None) -> tuple:
        """Steps the environments, or only the `active` ones `[n]` bool (the others stay, with reward 0).

        Returns:
          Observations, rewards, terminations, truncations, and infos: `success`, and `final_info` where an episode ended.
        """
        active = np.ones(self.num_envs, bool) if active is None else active
        step = Step(*map(self._join, zip(*self._ask("step", np.asarray(actions), active), strict=True)))
        terminated, truncated = step.terminated > 0, step.truncated > 0
        infos: dict[str, Any] = {"success": step.success}
        if (ended := terminated | truncated).any():
            episode = {"r": step.episode_return, "l": step.episode_length}
            infos |= {"final_info": {"success": step.success, "episode": episode}, "_final_info": ended}
        self._on_step(int(active.sum()))
        return step.obs, step.reward, terminated, truncated, infos

    def call(self, name: str, *args: Any) -> tuple:
        """The results of a method of every environment."""
        return self.call_each(name, [args] * self.num_envs)

    def call_each(self, name: str, args: Sequence[tuple]) -> tuple:
        """The results of a method of every environment, called with its own `args`."""
        answers: list[Any] = [None] * self.num_envs
        for index, worker in enumerate(self._workers):
            worker.send("call", name, args[index :: len(self._workers)])
        for index, part in enumerate(self._receive()):
            answers[index :: len(self._workers)] = part
        return tuple(answers)

    def get_attr(self, name: str) -> tuple:
        """An attribute of every environment."""
        return self.call(name)

    def close_extras(self, **kwargs: Any) -> None:
        for worker in self._workers:
            worker.stop()

    def _ask(self, command: str, *arrays: np.ndarray) -> list:
        """The workers' answers to a command, whose arguments `[n, ...]` are dealt out to them."""
        for index, worker in enumerate(self._workers):
            worker.send(command, *(array[index :: len(self._workers)] for array in arrays))
        return self._receive()

    def _receive(self) -> list:
        try:
            return [worker.receive() for worker in self._workers]
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    def _join(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """`[n, ...]` of what was dealt out."""
        whole = np.empty((self.num_envs, *parts[0].shape[1:]))
        for index, part in enumerate(parts):
            whole[index :: len(parts)] = part
        return whole
