"""What is known of a folder elsewhere: its own list of files, and what this machine last saw of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.errors import StoreError
from mmdbench.system.files import write_atomic
from mmdbench.system.remote.urls import Place, explained

__all__ = ["LISTING", "Known", "State", "files_there", "listing_bytes", "read_listing"]

LISTING = "remote.json"
"""The file that is uploaded last, and says what the others must be."""

_KIND = "mmdbench remote folder"


@dataclass(frozen=True, slots=True)
class Known:
    """A file that is the same here and there: its mark there, size in bytes, SHA-256, and [size, mtime] here.

    `sending` is the digest of what is being uploaded in its place; if that is found there after a
    crash, it was ours.
    """

    mark: str = ""
    size: int = 0
    sha256: str = ""
    here: tuple[int, int] = (-1, -1)
    sending: str = ""


@dataclass
class State:
    """What is known of every file of one copy, kept beside it."""

    path: Path
    files: dict[str, Known] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> State:
        """What was saved; nothing is known if nothing was, or if it is damaged."""
        try:
            record = json.loads(path.read_text("utf-8"))
            files = {name: Known(**{**known, "here": tuple(known["here"])}) for name, known in record.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            files = {}
        return cls(path, files)

    def save(self) -> None:
        """Write it down."""
        write_atomic(self.path, json.dumps({name: asdict(known) for name, known in self.files.items()}))


def listing_bytes(files: Mapping[str, Known]) -> bytes:
    """The list to upload."""
    rows = {name: {"size": files[name].size, "sha256": files[name].sha256} for name in sorted(files)}
    return (json.dumps({"kind": _KIND, "files": rows}, indent=1) + "\n").encode()


def read_listing(data: bytes, where: str) -> dict[str, dict[str, Any]]:
    """File → its size and SHA-256. Raises StoreError for something else."""
    try:
        record = json.loads(data)
        if record["kind"] == _KIND:
            return {
                str(name): {"size": int(f["size"]), "sha256": str(f["sha256"])}
                for name, f in record["files"].items()
            }
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise StoreError(
        f"{where}/{LISTING} is not a list of files that mmdbench wrote.",
        hint="Remove it there to read the folder as it stands.",
    )


def files_there(place: Place) -> dict[str, Any]:
    """Every file below the URL by its name with slashes, without hidden ones; empty if there is none."""
    place.files.invalidate_cache()
    with explained("list", place):
        try:
            found = place.files.find(place.path, detail=True)
        except FileNotFoundError:
            return {}
    start = place.path.rstrip("/") + "/"
    names = {path.removeprefix(start): info for path, info in found.items() if path.startswith(start)}
    return {n: i for n, i in names.items() if n and not any(part.startswith(".") for part in n.split("/"))}
