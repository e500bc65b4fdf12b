"""TensorBoard's event files, written and read.

Not tensorboardX's writers: the thread of one dies of a full disk without a word, and the run then waits for it for ever; the
other keeps its file open, and of many seeds in one program there are more than a process may have.
"""

import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

_FRAME = 12, 4  # bytes before a record: its length and that number's checksum; and after it: its own checksum


class Board:
    """Writes one file; what is added is on disk after `flush`."""

    def __init__(self, directory: Path):
        directory.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._path = directory / name
        self._waiting: list[bytes] = []
        self._write(file_version="brain.Event:2")

    def add(self, step: int, values: dict[str, float]) -> None:
        """Values of a step, by name."""
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=Summary(value=scalars))

    def restart(self, step: int) -> None:
        """What was told of this step and those after it does not count."""
        self._write(step=step, session_log=SessionLog(status=SessionLog.START))

    def flush(self) -> None:
        """Raises OSError where the disk is full."""
        waiting, self._waiting = self._waiting, []
        with open(self._path, "ab") as file:
            file.writelines(waiting)

    def _write(self, **event: Any) -> None:
        data = Event(wall_time=time.time(), **event).SerializeToString()
        length = struct.pack("<Q", len(data))
        self._waiting.append(length + _checksum(length) + data + _checksum(data))


def read(directory: Path) -> dict[int, dict[str, float]]:
    """What the files tell, by step and name, as float32; of what was told twice the later, of damaged records nothing."""
    told: dict[int, dict[str, float]] = {}
    files = sorted([events for path in directory.glob("*tfevents*") if (events := list(_events(path)))], key=_beginning)
    for event in (event for events in files for event in events):
        if event.HasField("session_log") and event.session_log.status == SessionLog.START:
            told = {step: values for step, values in told.items() if step < event.step}
        elif event.HasField("summary"):
            told.setdefault(event.step, {}).update({value.tag: value.simple_value for value in event.summary.value})
    return told


def _beginning(events: list[Event]) -> float:
    return events[0].wall_time


def _events(path: Path) -> Iterator[Event]:
    """The whole records of a file, up to one whose length cannot be trusted."""
    try:
        content = path.read_bytes()
    except OSError:
        return
    before, after = _FRAME
    at = 0
    while at + before <= len(content):
        length = content[at : at + 8]
        data = content[at + before : at + before + struct.unpack("<Q", length)[0]]
        end = at + before + len(data)
        if content[at + 8 : at + before] != _checksum(length):
            return
        if content[end : end + after] == _checksum(data):
            try:
                yield Event.FromString(data)
            except DecodeError:  # a file of something else
                return
        at = end + after


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(data))
