"""Messages between a driver and its worker processes: pickled values, each behind its length."""

from __future__ import annotations

import pickle
import struct
import threading
from typing import IO, Any

__all__ = ["Sender", "receive"]

_LENGTH = struct.Struct("<Q")


class Sender:
    """Writes messages into a pipe, whole ones, from any thread."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._turn = threading.Lock()

    def send(self, *message: Any) -> None:
        """Send a message; raises BrokenPipeError (an OSError) if nobody is there to read it."""
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        rest = memoryview(_LENGTH.pack(len(data)) + data)
        with self._turn:
            while rest:  # a pipe without a buffer may take only a part at once
                rest = rest[self._file.write(rest) :]
            self._file.flush()


def receive(file: IO[bytes]) -> tuple[Any, ...] | None:
    """The next message; None when the other side is gone, in the midst of one or not."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = file.read(length)
    if len(data) < length:
        return None
    message: tuple[Any, ...] = pickle.loads(data)  # noqa: S301 - from our own process, over its own pipe
    return message
