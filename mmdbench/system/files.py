"""Writing files so that nobody ever sees half of one, and so that two writers never meet.

A file is written beside its place under a name of its own, flushed to the disk and then renamed
over the place: a reader finds the old file or the new one. Locks are held by the operating
system and vanish with the process that held them, however it ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mmdbench.errors import LockedError, StoreError

__all__ = ["folder_lock", "make_folder", "open_atomic", "write_atomic"]


def make_folder(path: Path) -> Path:
    """Make a folder and those above it; says what is in the way when it cannot."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return path


def write_atomic(path: Path, data: bytes | str) -> None:
    """Put `data` at `path`, all of it or nothing."""
    with open_atomic(path) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to that appears at `path` when the block ends, and not at all if it fails."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
        temporary = ""
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


@contextlib.contextmanager
def folder_lock(folder: Path, doing: str) -> Iterator[None]:
    """Hold the folder against every other process; raise LockedError at once if one has it."""
    make_folder(folder)
    try:
        file = (folder / ".lock").open("a+b")
    except OSError as error:
        raise _cannot_write(folder, error) from error
    with file:
        if not _try_lock(file):
            raise LockedError(
                f"Another process is {doing} in {folder}.",
                hint="Wait for it to end, stop it, or name another folder.",
            )
        yield


def _try_lock(file: IO[bytes]) -> bool:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return _try_lock_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise StoreError(f"This file system cannot lock {file.name}: {error.strerror}.") from error
    return True


def _try_lock_windows(file: IO[bytes]) -> bool:
    import importlib

    msvcrt = importlib.import_module("msvcrt")
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, error: OSError) -> StoreError:
    reasons = {
        errno.ENOSPC: "The disk is full. Free some space and run the same command again.",
        errno.EACCES: "You may not write there. Name another folder.",
        errno.EROFS: "That file system is read-only. Name another folder.",
        errno.ENOTDIR: "A file is in the way of a folder. Name another folder.",
        errno.EEXIST: "A file is in the way of a folder. Name another folder.",
    }
    what = error.strerror or str(error)
    return StoreError(f"Cannot write {path}: {what}.", hint=reasons.get(error.errno or 0, ""))
