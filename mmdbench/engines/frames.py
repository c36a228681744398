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
    head = _exactly(file, _LENGTH.size)
    data = None if head is None else _exactly(file, _LENGTH.unpack(head)[0])
    if data is None:
        return None
    message: tuple[Any, ...] = pickle.loads(data)  # noqa: S301 - from our own process, over its own pipe
    return message


def _exactly(file: IO[bytes], size: int) -> bytes | None:
    # A pipe without a buffer gives what is there, which may be less than what was asked for.
    data = bytearray()
    while len(data) < size:
        piece = file.read(size - len(data))
        if not piece:
            return None
        data += piece
    return bytes(data)
