"""Remote input files: each is copied to a cache once, and again only if it changed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from mmdbench.errors import DataError, StoreError, UsageError
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.system.inner_paths import plain_name
from mmdbench.system.json_text import parse_json
from mmdbench.system.remote.urls import (
    RemotePath,
    local_path,
    open_remote,
    plain_url,
    remote_errors,
    version_mark,
)
from mmdbench.system.unfinished_files import unfinished_file

__all__ = [
    "add_from_data_url",
    "data_folder",
    "download_file",
    "fetch_file",
    "no_downloads",
    "size_and_digests",
]

_MIRROR = ".mirror.json"
_refused: ContextVar[bool] = ContextVar("refused", default=False)
_looked_up: set[Path] = set()


@contextmanager
def no_downloads() -> Iterator[None]:
    """Within it, an input that is not on this machine is a DataError: a dry run downloads nothing."""
    token = _refused.set(True)
    try:
        yield
    finally:
        _refused.reset(token)


def _download_input(remote: RemotePath, path: str, target: Path, info: Mapping[str, Any]) -> None:
    if _refused.get():
        size = "" if info["size"] is None else f" ({info['size'] / 1e6:,.1f} MB)"
        raise DataError(
            f"{target.name} of {remote.shown}{size} is not on this machine, and a dry run downloads nothing.",
            hint="Copy it here, or leave out --dry-run.",
        )
    download_file(remote, path, target, info)


def fetch_file(url: str) -> Path:
    """The local copy of the file at a URL; the cache keeps one copy for each version of it.

    Raises StoreError if there is no such file or it cannot be read, UsageError for a folder.
    """
    here = local_path(url)
    if here is not None:
        return here
    remote = open_remote(url)
    info = _info(remote, remote.path)
    if info is None:
        raise StoreError(f"There is no file {remote.shown}.")
    if info["type"] == "directory":
        raise UsageError(f"{remote.shown} is a folder.", hint="Name a file in it.")
    target = remote.cache / "file" / version_mark(info) / remote.name
    if not (target.is_file() and target.stat().st_size == info["size"]):
        _download_input(remote, remote.path, target, info)
    return target


def data_folder(url: str) -> Path:
    """A local folder for a remote one of benchmark files; `add_from_data_url` copies files to it."""
    here = local_path(url)
    if here is not None:
        return here
    remote = open_remote(url)
    folder = make_folder(remote.cache / "data")
    _mirrors[folder] = remote
    return folder


_mirrors: dict[Path, RemotePath] = {}


def add_from_data_url(folder: Path, wanted: str | Callable[[str], bool]) -> None:
    """Copy a file, or all files whose names are wanted, to a folder of `data_folder`.

    Does nothing for any other folder. Raises StoreError.
    """
    remote = _mirrors.get(folder)
    if remote is None:
        return
    if isinstance(wanted, str):
        names = [wanted]
    else:
        remote.files.invalidate_cache()
        with remote_errors("list", remote):
            found = remote.files.ls(remote.path, detail=False)
        names = [name for name in (Path(str(path)).name for path in found) if wanted(name)]
    for name in names:
        _copy_here(remote, folder, name)


def _copy_here(remote: RemotePath, folder: Path, name: str) -> None:
    target = folder / plain_name(folder, name, remote.shown)
    if target in _looked_up:
        return
    try:
        marks = dict(parse_json((folder / _MIRROR).read_bytes()))
    except (OSError, TypeError, ValueError):
        marks = {}
    info = _info(remote, remote.within(name))
    if info is None or info["type"] == "directory":
        if marks.pop(name, None):
            target.unlink(missing_ok=True)
    elif info["size"] is None or not (target.is_file() and marks.get(name) == version_mark(info)):
        _download_input(remote, remote.within(name), target, info)
        marks[name] = version_mark(info)
    write_atomic(folder / _MIRROR, json.dumps(marks, indent=1))
    _looked_up.add(target)


def download_file(
    remote: RemotePath, path: str, target: Path, info: Mapping[str, Any], sha256: str = ""
) -> str:
    """Copy a remote file to `target`, all of it or nothing, in constant memory.

    Args:
        remote: The file system.
        path: The file's path there.
        target: The local path; its folder is made if it is missing.
        info: The file system's record of the file; its size and digests, if it has them, are checked.
        sha256: The digest that the file must have; empty if unknown.

    Returns:
        The file's SHA-256 in hexadecimal digits.

    Raises:
        StoreError: The file cannot be read, or has another size or digest.
    """
    make_folder(target.parent)
    with unfinished_file(target) as part:
        with remote_errors("read", remote):
            remote.files.get_file(path, str(part))
        size, digests = size_and_digests(part)
        wanted = {**_known_digests(info), **({"sha256": sha256} if sha256 else {})}
        if info["size"] not in (None, size) or any(
            digests[name] != digest for name, digest in wanted.items()
        ):
            raise StoreError(
                f"{Path(plain_url(path)).name} of {remote.shown} has another size or digest than its "
                f"record says ({size} bytes were read).",
                hint="Another process may be writing it now. Run the same command again in a minute.",
            )
        part.replace(target)
    return digests["sha256"]


def size_and_digests(path: Path) -> tuple[int, dict[str, str]]:
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
    # S3's ETag is an MD5 only sometimes, without a sign of it; its client checks the digests of S3.
    found: dict[str, str] = {}
    if isinstance(info.get("md5Hash"), str):
        found["md5"] = base64.b64decode(info["md5Hash"]).hex()
    large = info.get("lfs")
    digest = large.get("sha256") if isinstance(large, Mapping) else getattr(large, "sha256", None)
    if isinstance(digest, str):
        found["sha256"] = digest
    return found


def _info(remote: RemotePath, path: str) -> Mapping[str, Any] | None:
    remote.files.invalidate_cache()
    with remote_errors("read", remote):
        try:
            return dict(remote.files.info(path))
        except FileNotFoundError:
            return None
