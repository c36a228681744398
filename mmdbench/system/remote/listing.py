"""Records of a remote folder: its own list of files, and the state in which this machine last saw each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from mmdbench.errors import StoreError
from mmdbench.system.files import write_atomic
from mmdbench.system.inner_paths import is_plain_name, plain_name
from mmdbench.system.json_text import parse_json
from mmdbench.system.remote.urls import RemotePath, remote_errors
from mmdbench.system.shapes import check_shape, read_as

__all__ = ["LISTING", "CopyState", "SyncedFile", "files_there", "listing_bytes", "read_listing"]

LISTING = "remote.json"
"""The file that is uploaded last: a list of the others with their sizes and digests."""

_KIND = "mmdbench remote folder"


@dataclass(frozen=True, slots=True)
class SyncedFile:
    """A file that is the same locally and remotely.

    `mark` is its version mark at the remote, `here` its local [size, mtime in ns]. `sending` is the digest
    of the file that is being uploaded to replace it; a remote file with this digest, after a crash,
    was uploaded by this machine.
    """

    mark: str = ""
    size: int = 0
    sha256: str = ""
    here: tuple[int, int] = (-1, -1)
    sending: str = ""


@dataclass
class CopyState:
    """The record of every file of one copy, saved beside it."""

    path: Path
    files: dict[str, SyncedFile] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> CopyState:
        """The saved record; an empty one if there is none, or if it is damaged."""
        try:
            record = parse_json(path.read_bytes())
            check_shape(record, dict[str, SyncedFile])
            files = {n: read_as(SyncedFile, known) for n, known in record.items() if is_plain_name(n)}
        except (OSError, ValueError):
            files = {}
        return cls(path, files)

    def save(self) -> None:
        """Write the record to its file."""
        write_atomic(self.path, json.dumps({name: asdict(known) for name, known in self.files.items()}))


def listing_bytes(files: Mapping[str, SyncedFile]) -> bytes:
    """The content of `remote.json` for these files."""
    rows = {name: {"size": files[name].size, "sha256": files[name].sha256} for name in sorted(files)}
    return (json.dumps({"kind": _KIND, "files": rows}, indent=1) + "\n").encode()


def read_listing(data: bytes, where: str) -> dict[str, dict[str, Any]]:
    """File → its size and SHA-256, from the content of `remote.json`. Raises StoreError if it is not one."""
    try:
        record = parse_json(data)
        check_shape(record, _Listing, "list")
        if record["kind"] != _KIND:
            raise ValueError(f"it is of the kind {record['kind']!r}")
    except ValueError as error:
        raise StoreError(
            f"{where}/{LISTING} is not a list of files that mmdbench wrote: {error}.",
            hint="Remove it there to read the folder without a check.",
        ) from error
    return {name: {"size": f["size"], "sha256": f["sha256"]} for name, f in record["files"].items()}


class _ListedFile(TypedDict):
    size: int
    sha256: str


class _Listing(TypedDict):
    kind: str
    files: dict[str, _ListedFile]


def files_there(remote: RemotePath) -> dict[str, Any]:
    """Every file below a URL that is not hidden, by its name with slashes, with its record.

    Raises StoreError for a key that is no name of a file below it: a copy of it would be elsewhere.
    """
    remote.files.invalidate_cache()
    with remote_errors("list", remote):
        try:
            found = remote.files.find(remote.path, detail=True)
        except FileNotFoundError:
            return {}
    start = remote.path.rstrip("/") + "/"
    # A key that ends with a slash stands for a folder.
    names = {p.removeprefix(start): i for p, i in found.items() if p.startswith(start) and p[-1] != "/"}
    for name in names:
        plain_name(Path(), name, remote.shown)
    return {n: i for n, i in names.items() if not any(part.startswith(".") for part in n.split("/"))}
