"""Child processes, and the messages that go to and from them through pipes.

A message is a tuple, pickled, with its length in bytes before it.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import threading
from typing import IO, Any

__all__ = [
    "MessageWriter",
    "available_cpus",
    "child_command",
    "child_environment",
    "read_message",
]

_LENGTH = struct.Struct("<Q")


def available_cpus() -> int:
    """The number of CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def child_command(module: str) -> list[str]:
    """The command that runs a module's `main()` in another process of this Python.

    With `child_environment` it imports from the same folders, but not from the one it is started in.
    """
    code = f"import sys; sys.path[:] = [p for p in sys.path if p]; from {module} import main; main()"
    return [sys.executable, "-c", code]


def child_environment() -> dict[str, str]:
    """The environment of this process, with the folders that it imports from in PYTHONPATH."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class MessageWriter:
    """Writes messages to a pipe, each as a whole, from any thread."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._turn = threading.Lock()

    def send(self, *message: Any) -> None:
        """Write a message. Raises BrokenPipeError (an OSError) if the reader has closed the pipe."""
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        rest = memoryview(_LENGTH.pack(len(data)) + data)
        with self._turn:
            while rest:  # a pipe without a buffer may take only a part at once
                rest = rest[self._file.write(rest) :]
            self._file.flush()


def read_message(file: IO[bytes]) -> tuple[Any, ...] | None:
    """The next message; None if the pipe ends, before a message or within one."""
    head = _exactly(file, _LENGTH.size)
    data = None if head is None else _exactly(file, _LENGTH.unpack(head)[0])
    if data is None:
        return None
    message: tuple[Any, ...] = pickle.loads(data)  # noqa: S301 - from our own process, over its own pipe
    return message


def _exactly(file: IO[bytes], size: int) -> bytes | None:
    # A read from an unbuffered pipe may return fewer bytes than it was asked to.
    data = bytearray()
    while len(data) < size:
        piece = file.read(size - len(data))
        if not piece:
            return None
        data += piece
    return bytes(data)
