"""Measurements in processes of their own: memory, threads and caches of one do not touch the next.

The process that starts them must not touch an accelerator, whose memory JAX would take whole.
"""

import contextlib
import importlib
import inspect
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_ITEM = "item: "  # how lines begin that hold what a generator yields


class Failed(RuntimeError):
    """The process failed; the message is the last line of what it said."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a module answers in a new process; arguments and answer are of JSON's types.

    Nothing comes from a cache of compiled programs, so that the time to compile is true.
    """
    command = [sys.executable, "-m", __name__, function.__module__, function.__name__, json.dumps(arguments)]
    return json.loads(last_line(command, {"JAX_ENABLE_COMPILATION_CACHE": "false"}))


def stream(function: str, *arguments: Any, seconds: float, environment: dict[str, str]) -> Iterator[Any]:
    """What a generator function of a module yields in a new process, as it comes; all are of JSON's types.

    Args:
      function: "package.module.function"; this process does not import it.
      arguments: of the function.
      seconds: after which the process, and what it started, is ended.
      environment: variables beside those of this process.

    Raises:
      Failed: the process failed, or took longer.
    """
    command = [sys.executable, "-m", __name__, *function.rsplit(".", 1), json.dumps(arguments)]
    end = time.monotonic() + seconds
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=os.environ | environment,
            start_new_session=True,
        )
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            while (line := lines.get(timeout=max(0.0, end - time.monotonic()))) is not None:
                if line.startswith(_ITEM):
                    yield json.loads(line.removeprefix(_ITEM))
            process.wait(timeout=max(1.0, end - time.monotonic()))
        except (queue.Empty, subprocess.TimeoutExpired):
            raise Failed(f"took longer than {seconds:.0f} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also what it started and left behind
            process.wait()
            reader.join()
        if process.returncode:
            said.seek(0)
            raise Failed(f"exit code {process.returncode}: {(said.read().splitlines() or ['nothing was said'])[-1]}")


def _read(stdout: Any, lines: "queue.Queue[str | None]") -> None:
    with stdout:
        for line in stdout:
            lines.put(line)
    lines.put(None)


def last_line(command: Sequence[str], environment: dict[str, str]) -> str:
    """The last line that a command prints; libraries may print before."""
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    if done.returncode:
        raise Failed(f"exit code {done.returncode}: {(done.stderr.splitlines() or ['nothing was said'])[-1]}")
    return done.stdout.splitlines()[-1]


def peak_mib() -> float | None:
    """The most memory that this process has had, where the system says so.

    Not `getrusage`, whose figure begins with that of the process which started this one.
    """
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 2**10 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


def _main(module: str, name: str, arguments: str) -> None:
    try:
        answer = getattr(importlib.import_module(module), name)(*json.loads(arguments))
        if inspect.isgenerator(answer):
            for item in answer:
                print(_ITEM + json.dumps(item), flush=True)
            return
    except Exception as error:
        traceback.print_exc()
        sys.exit(f"{type(error).__name__}: {error}".splitlines()[0])  # JAX ends its tracebacks with advice
    print(json.dumps(answer))


if __name__ == "__main__":
    _main(*sys.argv[1:])
