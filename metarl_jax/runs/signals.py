"""What Ctrl-C and SIGTERM do to a run, also while a compiled program runs."""

import signal
import threading
from collections.abc import Callable
from typing import Any


class Interrupted(KeyboardInterrupt):
    """A signal ended the run early; it is saved and can be resumed. Like Ctrl-C itself it is no `Exception`."""

    def __init__(self, signal_number: int, iteration: int):
        super().__init__(f"signal {signal_number}: the run is saved at iteration {iteration}")
        self.signal, self.iteration = signal_number, iteration


class Stop:
    """Notes SIGINT, SIGTERM and SIGHUP (the terminal is gone), so that the loop can end between windows.

    A second SIGINT interrupts at once. Only the main thread of a program gets signals: elsewhere this does nothing.
    """

    def __init__(self):
        self.signal: int | None = None
        self._old: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self._old = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame) -> None:
        self.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)


_running: set[threading.Thread] = set()  # of `interruptibly`; one that was interrupted runs on


def interruptibly(function: Callable, *args: Any) -> Any:
    """`function(*args)`, computed so that Ctrl-C gets through.

    Python handles signals in the main thread, between two of its instructions: never while XLA compiles or runs a program
    there. So that is done in a thread, for which the main one only waits. Where the wait is interrupted the thread goes on:
    a process must end without waiting for it (see `anything_runs`).
    """
    done, outcome = threading.Event(), {}

    def work() -> None:
        try:
            outcome["value"] = function(*args)
        except BaseException as error:  # raised again where it is waited for
            outcome["error"] = error
        finally:
            _running.discard(thread)
            done.set()

    thread = threading.Thread(target=work, daemon=True)
    _running.add(thread)
    thread.start()
    done.wait()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def anything_runs() -> bool:
    """Whether something that was interrupted still runs: Python would wait for it at the end, or crash."""
    return bool(_running)
