"""Inputs from elsewhere: a file is copied here once, and again only when it changed there."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmdbench.errors import StoreError, UsageError
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.system.remote.urls import Place, explained, local_path, mark_of, open_place, plain_url

__all__ = ["add_from_data_url", "bytes_of", "data_folder", "download", "fetch_file"]

_MIRROR = ".mirror.json"
_looked_up: set[Path] = set()


def fetch_file(url: str) -> Path:
    """The file behind a URL, on this machine; a copy lies in the cache under the state it has there.

    Raises StoreError if it cannot be had, UsageError for a folder.
    """
    here = local_path(url)
    if here is not None:
        return here
    place = open_place(url)
    info = _info(place, place.path)
    if info is None:
        raise StoreError(f"There is no file {place.shown}.")
    if info["type"] == "directory":
        raise UsageError(f"{place.shown} is a folder.", hint="Name a file in it.")
    target = place.cache / "file" / mark_of(info) / place.name
    if not (target.is_file() and target.stat().st_size == info["size"]):
        download(place, place.path, target, info)
    return target


def data_folder(url: str) -> Path:
    """A folder that stands for one of benchmark files elsewhere; each file comes when it is asked for."""
    here = local_path(url)
    if here is not None:
        return here
    place = open_place(url)
    folder = make_folder(place.cache / "data")
    _mirrors[folder] = place
    return folder


_mirrors: dict[Path, Place] = {}


def add_from_data_url(folder: Path, wanted: str | Callable[[str], bool]) -> None:
    """Bring a file, or all whose names are wanted, into a folder that `data_folder` gave; else do nothing."""
    place = _mirrors.get(folder)
    if place is None:
        return
    if isinstance(wanted, str):
        names = [wanted]
    else:
        place.files.invalidate_cache()
        with explained("list", place):
            found = place.files.ls(place.path, detail=False)
        names = [name for name in (Path(str(path)).name for path in found) if wanted(name)]
    for name in names:
        _bring(place, folder, name)


def _bring(place: Place, folder: Path, name: str) -> None:
    target = folder / name
    if target in _looked_up:
        return
    marks = _read_marks(folder)
    info = _info(place, place.within(name))
    if info is None or info["type"] == "directory":
        if marks.pop(name, None):
            target.unlink(missing_ok=True)
    elif info["size"] is None or not (target.is_file() and marks.get(name) == mark_of(info)):
        download(place, place.within(name), target, info)
        marks[name] = mark_of(info)
    write_atomic(folder / _MIRROR, json.dumps(marks, indent=1))
    _looked_up.add(target)


def download(place: Place, path: str, target: Path, info: Mapping[str, Any], sha256: str = "") -> str:
    """Copy a file to `target`, all of it or nothing, in constant memory; returns its SHA-256.

    Its length must be what `info` says, if it says one, its digest what the store knows of it, and
    `sha256` if that is given.
    """
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as room:
        part = Path(room) / "file"
        with explained("read", place):
            place.files.get_file(path, str(part))
        size, digests = bytes_of(part)
        wanted = {**_known_digests(info), **({"sha256": sha256} if sha256 else {})}
        if info["size"] not in (None, size) or any(
            digests[name] != digest for name, digest in wanted.items()
        ):
            raise StoreError(
                f"{Path(plain_url(path)).name} of {place.shown} came as {size} bytes that are not what "
                "should be there.",
                hint="It may be being written now. Run the same command again in a minute.",
            )
        part.replace(target)
    return digests["sha256"]


def bytes_of(path: Path) -> tuple[int, dict[str, str]]:
    """A file's length in bytes, and its SHA-256 and MD5 in hexadecimal digits, read in pieces."""
    sums = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    size = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            size += len(piece)
            for one in sums.values():
                one.update(piece)
    return size, {name: one.hexdigest() for name, one in sums.items()}


def _known_digests(info: Mapping[str, Any]) -> dict[str, str]:
    # S3's ETag is an MD5 only sometimes, and nothing tells when; its client checks what S3 does know.
    found: dict[str, str] = {}
    if isinstance(info.get("md5Hash"), str):
        found["md5"] = base64.b64decode(info["md5Hash"]).hex()
    large = info.get("lfs")
    digest = large.get("sha256") if isinstance(large, Mapping) else getattr(large, "sha256", None)
    if isinstance(digest, str):
        found["sha256"] = digest
    return found


def _info(place: Place, path: str) -> Mapping[str, Any] | None:
    place.files.invalidate_cache()
    with explained("read", place):
        try:
            return dict(place.files.info(path))
        except FileNotFoundError:
            return None


def _read_marks(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / _MIRROR).read_text("utf-8")))
    except (OSError, ValueError):
        return {}
