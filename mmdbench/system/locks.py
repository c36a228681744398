"""Locks between the processes of one machine, held by the operating system.

The system releases a lock when the process that holds it ends, however it ends: none is ever stale.
"""

# The package filelock does the same with the same system calls. It is not used: it would be one more
# dependency of every installation, it has no message that says what the other process is doing, and on a
# file system without locks it falls back to a marker file, which stays when its process is killed. Here
# such a file system, as some network folders are, is an error that says so.

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmdbench.errors import LockedError, StoreError
from mmdbench.system.files import cannot_write, make_folder
from mmdbench.system.lock_handles import is_same_file, lock_handle

__all__ = ["file_lock", "folder_lock"]

_PAUSE_S = 0.2


@contextmanager
def folder_lock(folder: Path, doing: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a folder, which is made if it is missing, against every other process.

    Args:
        folder: The folder; its file `.lock` is what is locked, and stays.
        doing: What this process does there, for the message: "Another process is <doing> in <folder>."
        wait_s: Seconds to wait for another process.

    Yields:
        Nothing, while the lock is held.

    Raises:
        LockedError: Another process still holds it.
        StoreError: The folder cannot be written to, or its file system knows no locks.
    """
    handle = _wait_for(make_folder(folder) / ".lock", wait_s, time.sleep)
    if handle is None:
        raise LockedError(
            f"Another process is {doing} in {folder}.",
            hint="Wait for it to end, stop it, or name another folder.",
        )
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def file_lock(path: Path, *, wait_s: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold a lock file, which is made for it and removed afterwards.

    Args:
        path: The lock file; its folder must exist.
        wait_s: Seconds to wait for another process.
        sleep: Called with the seconds of each pause.

    Yields:
        Nothing, while the lock is held.

    Raises:
        LockedError: Another process still holds it.
        StoreError: The file cannot be made, or its file system knows no locks.
    """
    handle = _wait_for(path, wait_s, sleep)
    if handle is None:
        raise LockedError(
            f"Another process has held {path} for {wait_s:.0f} s.", hint="Wait for it, or end it."
        )
    try:
        yield
    finally:
        # Removed while still held: a process that opened it before finds that its file is gone, and retries.
        with suppress(OSError):
            if os.fstat(handle).st_size == 0:  # a file that holds something is not of our making
                path.unlink()
        os.close(handle)


def _wait_for(path: Path, wait_s: float, sleep: Callable[[float], None]) -> int | None:
    deadline = time.monotonic() + wait_s
    while (handle := _try_lock(path)) is None:
        if time.monotonic() >= deadline:
            return None
        sleep(_PAUSE_S)
    return handle


def _try_lock(path: Path) -> int | None:
    try:
        # A lock that is a link would make an empty file wherever it leads.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        if _system_lock(handle, path) and is_same_file(path, handle):
            return handle
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _system_lock(handle: int, path: Path) -> bool:
    try:
        return lock_handle(handle)
    except OSError as error:
        raise StoreError(f"This file system cannot lock {path}: {error.strerror}.") from error
