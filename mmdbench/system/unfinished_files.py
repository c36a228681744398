"""Files beside their place while they are written, which are removed when their process was killed.

Each is locked by its process, so one whose lock is free has no writer any more, even if another process has
got the number since. The name holds a digest of the machine's name, because a network file system may keep
locks to one machine, and the number of the process, for people. Without locks (on Windows) none is removed.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path

from mmdbench.system.digest import bytes_digest
from mmdbench.system.lock_handles import is_same_file, lock_handle

__all__ = ["unfinished_file"]

_LONGEST_NAME = 60
_UMASK = threading.Lock()  # one for the process, which threads must not read while another has set it


@contextmanager
def unfinished_file(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, to be written and moved there.

    The first call for a folder removes what killed processes of this machine left there. Raises OSError.

    Args:
        path: The place of the finished file; its folder must exist.

    Yields:
        The unfinished file; it is removed at the end of the block unless it was moved.
    """
    _remove_left_behind(path.parent.resolve())
    part, handle = _begin(path)
    try:
        yield part
    finally:
        with suppress(OSError):
            part.unlink()
        if handle is not None:
            os.close(handle)


def _begin(path: Path) -> tuple[Path, int | None]:
    """A new file and its handle with a lock; None on Windows, where an open file cannot be moved."""
    while True:
        prefix = f".{path.name[:_LONGEST_NAME]}.{_machine()}-{os.getpid()}-"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=path.parent)
        part = Path(name)
        with _UMASK:
            mask = os.umask(0)  # it can only be read by setting it
            os.umask(mask)
        if sys.platform == "win32":
            os.close(handle)
            part.chmod(0o666 & ~mask)
            return part, None
        os.fchmod(
            handle, 0o666 & ~mask
        )  # by its handle: it may be taken for left behind before it has its lock
        with suppress(OSError):  # a file system without locks: no process removes what another one left
            if not lock_handle(handle) or not is_same_file(part, handle):
                os.close(handle)  # another process took it for left behind before it had its lock
                continue
        return part, handle


@lru_cache(4096)
def _remove_left_behind(folder: Path) -> None:
    if sys.platform == "win32":
        return
    ours = re.compile(rf"\..*\.{_machine()}-\d+-[a-z0-9_]+\.part")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_unlocked(Path(entry.path))


def _remove_unlocked(part: Path) -> None:
    with suppress(OSError):
        handle = os.open(part, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            if lock_handle(handle) and is_same_file(part, handle):
                part.unlink()
        finally:
            os.close(handle)


@cache
def _machine() -> str:
    return bytes_digest(platform.node().encode())[:8]
