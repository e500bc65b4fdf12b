"""A watcher around a process of a run on several hosts.

JAX aborts a process whose coordinator is lost, with nothing left to say why. So the work is done in a child, and the parent
says it.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import jax

from ..errors import ConfigError
from ..runs import children
from ..runs.training import TrainingError
from ..sharding import is_loss_of_process

_CHILD = "METARL_CHILD"  # set in the environment of a child


def is_child() -> bool:
    """Whether another process of this command started this one."""
    return _CHILD in os.environ


def watch(argv: list[str], run: Path) -> int:
    """Does `metarl train ARGV` in a child, handing signals on; the exit code, 1 where the coordinator was lost."""
    command = [sys.executable, "-m", "metarl_jax.cli", "train", *argv]
    child = children.start(command, _CHILD, start_new_session=True)  # a terminal's Ctrl-C comes once, from here
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: child.send_signal(number))
    code = children.finish(child)
    if code == -signal.SIGABRT:
        print(_lost(run, "it does not answer"), file=sys.stderr)
        return 1
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def fail_at_once(run: Path) -> Iterator[None]:
    """Ends one of several processes where something fails in it that nobody foresaw (see `leave`)."""
    try:
        yield
    except TrainingError:  # in all of them
        raise
    except Exception as error:
        if jax.process_count() == 1:
            raise
        if is_loss_of_process(error):
            print(_lost(run, str(error).splitlines()[0]), file=sys.stderr)
        elif isinstance(error, ConfigError):
            print(f"error: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        leave(2 if isinstance(error, ConfigError) else 1)


def leave(code: int) -> int:
    """Ends one of several processes that has failed: an orderly end would wait for the others, and they for it."""
    if jax.process_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _lost(run: Path, why: str) -> str:
    return (
        f"error: another process of this run has ended ({why}); when all are gone, start them again with --resume {run}"
    )


def end_with_parent() -> None:
    """Ends this child when its parent is gone; the others of the run cannot go on without it either."""
    children.when_parent_ends(lambda: os._exit(1))
