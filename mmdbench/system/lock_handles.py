"""Locks on open files, which the operating system takes back when their process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

__all__ = ["is_same_file", "lock_handle"]


def lock_handle(handle: int) -> bool:
    """Lock an open file, unless it is locked: False then. Raises OSError where the file system has no locks.

    A lock belongs to one opening of a file, so that threads of one process exclude each other, too.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True


def is_same_file(path: Path, handle: int) -> bool:
    """True if a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
