"""Standard output and standard error, whose readers may leave, and which may not know every letter."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from ..errors import ConfigError


class _Lasting:
    """A stream of text; once nobody reads it (`| head -1`, a closed terminal), what is written to it goes nowhere."""

    def __init__(self, stream: TextIO, is_result: bool):
        self._stream, self._is_result = stream, is_result
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a "?" for what an ASCII terminal cannot show

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except OSError as error:
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())  # what is left in its buffer goes there too
            if self._is_result and error.errno not in (errno.EPIPE, errno.EIO):
                raise ConfigError(f"standard output cannot be written: {error.strerror}.") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """Progress and tables are no reason to end a run: within, a stream that is gone raises nothing.

    But results on standard output that do not fit on a disk do: ConfigError.
    """
    streams: Any = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Lasting(sys.stdout, True), _Lasting(sys.stderr, False)  # type: ignore[assignment]  # as files
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = streams
