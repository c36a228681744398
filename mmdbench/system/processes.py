"""Processes that this one starts, and the messages between them: pickled values, each behind its length."""

from __future__ import annotations

import asyncio
import os
import pickle
import struct
import sys
import threading
from typing import IO, Any

__all__ = ["Sender", "child_command", "child_environment", "framed", "receive", "received"]

_LENGTH = struct.Struct("<Q")


def child_command(module: str) -> list[str]:
    """The command that runs a module's `main()` in another process of this Python.

    It finds what this process finds, but not what lies in the folder it is started in.
    """
    code = f"import sys; sys.path[:] = [p for p in sys.path if p]; from {module} import main; main()"
    return [sys.executable, "-c", code]


def child_environment() -> dict[str, str]:
    """This process's environment, with the folders that it imports from."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Sender:
    """Writes messages into a pipe, whole ones, from any thread."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._turn = threading.Lock()

    def send(self, *message: Any) -> None:
        """Send a message; raises BrokenPipeError (an OSError) if nobody is there to read it."""
        rest = memoryview(framed(*message))
        with self._turn:
            while rest:  # a pipe without a buffer may take only a part at once
                rest = rest[self._file.write(rest) :]
            self._file.flush()


def framed(*message: Any) -> bytes:
    """A message as it goes through a pipe."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


async def received(reader: asyncio.StreamReader) -> tuple[Any, ...] | None:
    """What `receive` gives, for a coroutine."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        message: tuple[Any, ...] = pickle.loads(await reader.readexactly(length))  # noqa: S301 - as below
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return message


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
