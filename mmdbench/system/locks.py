"""A lock that a process holds on a path, and that the system releases when the process dies."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mmdbench.errors import LockedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["file_lock"]


@contextmanager
def file_lock(path: Path, *, wait_s: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[bool]:
    """Hold the lock file `path`; yields whether another process had to be waited for.

    Raises LockedError if it is still held after `wait_s` seconds, StoreError if the file
    cannot be made.
    """
    deadline = time.monotonic() + wait_s
    waited = False
    while (handle := _try_lock(path)) is None:
        if time.monotonic() >= deadline:
            raise LockedError(
                f"Another process has held {path} for {wait_s:.0f} s.", hint="Wait for it, or end it."
            )
        waited = True
        sleep(0.2)
    try:
        yield waited
    finally:
        # Removed while still held: whoever opened it before sees that its file is gone and retries.
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def _try_lock(path: Path) -> int | None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreError(
            f"Cannot write to {path.parent}: {error.strerror}.", hint="Choose another folder: --data-dir"
        ) from error
    if _system_lock(handle, path) and _is_same_file(path, handle):
        return handle
    os.close(handle)
    return None


def _is_same_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _system_lock(handle: int, path: Path) -> bool:
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
        raise StoreError(f"This file system cannot lock {path}: {error.strerror}.") from error
    return True
