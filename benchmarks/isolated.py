"""Measurements in processes of their own: memory, threads and caches of one do not touch the next.

The process that starts them must not touch an accelerator, whose memory JAX would take whole.
"""

import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any


class Failed(RuntimeError):
    """The process failed; the message is the last line of what it said."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a module answers in a new process; arguments and answer are of JSON's types.

    Nothing comes from a cache of compiled programs, so that the time to compile is true.
    """
    command = [sys.executable, "-m", __name__, function.__module__, function.__name__, json.dumps(arguments)]
    return json.loads(last_line(command, {"JAX_ENABLE_COMPILATION_CACHE": "false"}))


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
    except Exception as error:
        traceback.print_exc()
        sys.exit(f"{type(error).__name__}: {error}".splitlines()[0])  # JAX ends its tracebacks with advice
    print(json.dumps(answer))


if __name__ == "__main__":
    _main(*sys.argv[1:])
