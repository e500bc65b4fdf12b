"""Processes that do not outlive the one that started them, however that ends."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

_STARTED = "METARL_ENDS_WITH_PARENT"  # set in the environment of what `start` starts, where no other mark is
GRACE = 60.0  # seconds to save a run in


def start(command: Sequence[str], mark: str = _STARTED, **options: Any) -> subprocess.Popen:
    """A process that ends with this one if it calls `end_with_parent`; options are those of Popen.

    One with another `mark` in its environment is to see to its end itself, by `when_parent_ends`.
    """
    return subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, mark: "1"}, **options)


def finish(process: subprocess.Popen) -> int:
    """Waits for a process that `start` started; its exit code."""
    code = process.wait()
    if process.stdin is not None:
        process.stdin.close()  # not before: that is what it takes for our end
    return code


def end_with_parent() -> None:
    """Ends this process as SIGTERM does, after which a run saves, when the one that started it by `start` is gone."""
    if os.environ.pop(_STARTED, None) is not None:
        when_parent_ends(_leave)


def when_parent_ends(then: Callable[[], None]) -> None:
    """Does something when standard input, which the parent holds the other end of, is closed."""

    def wait() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock the interpreter wants when it ends
            pass
        then()

    threading.Thread(target=wait, daemon=True).start()


def _leave() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)
