"""Files that only grow, with a running digest, so that an interrupted one can be resumed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmdbench.errors import StoreError
from mmdbench.system.files import cannot_write, is_at, make_folder
from mmdbench.system.inner_paths import inner_path
from mmdbench.system.shapes import read_as

__all__ = [
    "DamagedPartError",
    "FileRecord",
    "PartFile",
    "built_path",
    "check_file",
    "file_record",
]


class DamagedPartError(StoreError):
    """A file of an unfinished build is missing or was changed."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of a build: its path below the build's folder, its length in bytes and its SHA-256."""

    file: str
    bytes: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """The record as a JSON-able dict."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FileRecord:
        """Read a record back. Raises ShapeError for one of another shape."""
        return read_as(cls, record, "file")


class PartFile:
    """A file that is only appended to. Nothing is buffered: `write` hands all to the operating system."""

    def __init__(self, folder: Path, file: str, resumed: Mapping[str, Any] | None = None) -> None:
        """Open the file, and create its folder if needed.

        Args:
            folder: The folder that `file` is below.
            file: The path as it is recorded, with slashes.
            resumed: `FileRecord.as_dict()` to cut the file back to; None starts it anew.

        Raises:
            DamagedPartError: The file is missing or no longer begins as the record says.
            StoreError: The file cannot be written.
        """
        self.file = file
        self.path = folder / file
        self._digest = hashlib.sha256()
        self.size = 0
        make_folder(self.path.parent)
        try:
            self._file = self.path.open("rb+" if resumed else "wb", buffering=0)
            if resumed:
                self._resume(FileRecord.from_dict(resumed))
        except FileNotFoundError as error:
            raise DamagedPartError(f"{self.path} is missing.") from error
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def write(self, data: bytes) -> None:
        """Append all of `data`. Raises StoreError if it cannot be written."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._digest.update(data)
        self.size += len(data)

    def record(self) -> FileRecord:
        """The record of the file as it is now. Raises DamagedPartError if it was removed while it is open."""
        if not self._file.closed and not is_at(self._file, self.path):
            raise DamagedPartError(f"{self.path} was removed or replaced while it was being written.")
        return FileRecord(self.file, self.size, self._digest.hexdigest())

    def close(self, *, durable: bool = True) -> None:
        """Close the file, by default after forcing it to the disk."""
        try:
            if durable and not self._file.closed:
                self.record()
                os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _resume(self, record: FileRecord) -> None:
        left = record.bytes
        while left and (data := self._file.read(min(left, 1 << 20))):
            self._digest.update(data)
            left -= len(data)
        if left or self._digest.hexdigest() != record.sha256:
            self._file.close()
            raise DamagedPartError(f"{self.path} was changed since it was written.")
        self._file.truncate(record.bytes)
        self.size = record.bytes


def built_path(folder: Path, file: str) -> Path:
    """The path of a file that a record of a build names. Raises StoreError for one outside its folder."""
    return inner_path(folder, file, f"A record of the build {folder}")


def file_record(folder: Path, file: str) -> FileRecord:
    """The record of a finished file. Raises StoreError if it cannot be read."""
    digest = hashlib.sha256()
    size = 0
    path = built_path(folder, file)
    try:
        with path.open("rb") as opened:
            while data := opened.read(1 << 20):
                digest.update(data)
                size += len(data)
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
    return FileRecord(file, size, digest.hexdigest())


def check_file(folder: Path, file: str, sha256: str) -> None:
    """Compare a file with its digest.

    Args:
        folder: The folder that `file` is below.
        file: The path below it.
        sha256: The recorded SHA-256.

    Raises:
        DamagedPartError: The file is missing or has another digest.
        StoreError: The file cannot be read.
    """
    if not built_path(folder, file).is_file() or file_record(folder, file).sha256 != sha256:
        raise DamagedPartError(f"{folder / file} is missing or was changed since it was written.")
