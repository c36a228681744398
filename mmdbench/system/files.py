"""Files that are written as a whole or not at all, and the names of files that several rooms read.

A file is written beside its place under a name of its own, flushed to the disk and then renamed
over the place: a reader finds the old file or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mmdbench.errors import StoreError
from mmdbench.system.unfinished_files import unfinished_file

__all__ = [
    "MANIFEST_FILE",
    "REPLY_FILES",
    "append_whole",
    "cannot_open_more",
    "cannot_write",
    "is_at",
    "make_folder",
    "open_atomic",
    "require_folder",
    "require_writable",
    "write_atomic",
]

MANIFEST_FILE = "manifest.json"
"""The file that describes a run or build, in its folder; it is the last to be uploaded."""

REPLY_FILES = "replies-*.jsonl"
"""The pattern of the files in a run's folder that hold its replies."""


def make_folder(path: Path) -> Path:
    """Make a folder and those above it; returns it. Raises StoreError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` to `path`, all of it or nothing. Raises StoreError."""
    with open_atomic(path) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


def require_writable(path: Path) -> None:
    """Raise StoreError if a file cannot be written at a path, before the work that makes it."""
    if path.is_dir():
        raise cannot_write(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    _try_beside(path, path)


def require_folder(path: Path) -> None:
    """Raise StoreError if no file can be written into a folder, which need not be there yet."""
    _try_beside(path / MANIFEST_FILE, path)


def _try_beside(path: Path, wanted: Path) -> None:
    """Write a file in the nearest folder that is there above a path, and remove it; errors name `wanted`."""
    folder = next(above for above in path.absolute().parents if above.exists() or above.is_symlink())
    try:
        with unfinished_file(folder / path.name) as part:
            part.open("wb").close()
    except OSError as error:
        raise cannot_write(wanted, error) from error


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which appears at `path` when the block ends, and not at all if it fails."""
    try:
        with unfinished_file(path) as part:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error


_AGAIN = "Free some space and run the same command again."
_ELSEWHERE = "Name another folder."
_HINTS = {
    errno.ENOSPC: f"The disk is full. {_AGAIN}",
    errno.EDQUOT: f"Your quota is used up. {_AGAIN}",
    errno.EFBIG: "A file may not be that long here: raise the limit (ulimit -f), or name another folder.",
    errno.EMFILE: "Too many files are open: raise the limit (ulimit -n), or lower the concurrency.",
    errno.ENFILE: "Too many files are open on this machine: close other programs.",
    errno.EACCES: f"You may not write there. {_ELSEWHERE}",
    errno.EPERM: f"You may not write there. {_ELSEWHERE}",
    errno.EROFS: f"That file system is read-only. {_ELSEWHERE}",
    errno.ENOTDIR: f"A file is in the way of a folder. {_ELSEWHERE}",
    errno.EEXIST: f"A file is in the way of a folder. {_ELSEWHERE}",
    errno.EISDIR: f"A folder is in the way of a file. {_ELSEWHERE}",
    errno.ELOOP: "A link is in the way. Remove it.",
    errno.EIO: "The disk reports an error; look at it before you write there again.",
}
_RESOURCES = _HINTS.keys() - {errno.ENOTDIR, errno.EEXIST}


def append_whole(file: IO[bytes], data: bytes) -> None:
    """Append all of `data` to an unbuffered file, or nothing of it. Raises OSError."""
    end = file.seek(0, os.SEEK_END)
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(end)
        raise


def is_at(file: IO[bytes], path: Path) -> bool:
    """True if an open file is the one at a path, and was neither removed nor replaced."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False


def cannot_open_more(path: Path, error: OSError) -> StoreError | None:
    """The error if a file cannot be read because too many are open; None for any other cause."""
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    return StoreError(f"Cannot read {path}: {error.strerror}.", hint=_HINTS[error.errno])


def out_of_resources(error: OSError) -> StoreError | None:
    """The error for a failure of disk, quota, limits or rights, wherever it happened; None for any other."""
    if error.errno not in _RESOURCES:
        return None
    where = f"Cannot use {error.filename}" if error.filename else "A file or the output cannot be written"
    hint = "" if error.errno in (errno.EACCES, errno.EPERM) else _HINTS[error.errno]
    return StoreError(f"{where}: {error.strerror}.", hint=hint)


def cannot_write(path: Path, error: OSError) -> StoreError:
    """The error to raise for a path that cannot be written, with what to do about it."""
    what = error.strerror or str(error)
    return StoreError(f"Cannot write {path}: {what}.", hint=_HINTS.get(error.errno or 0, ""))
