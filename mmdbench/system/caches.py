"""The caches of mmdbench on this machine: listed with their sizes, and freed.

Only folders of known names are touched. A copy of a remote folder that holds work which was not uploaded, or
that another process uses, is kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdbench.errors import LockedError, StoreError, UnknownNameError
from mmdbench.system.environment import cache_folder
from mmdbench.system.locks import folder_lock
from mmdbench.system.remote import is_uploaded, remote_caches

__all__ = ["CACHES", "Cache", "Freed", "free_caches", "list_caches"]

CACHES = {
    "remote": "copies of files and folders at URLs; those with work that was not uploaded are kept",
    "prompts": "judge prompts of other authors, fetched again when they are needed",
    "canary": "times at which a model's check was printed",
    "kernels": "compiled functions of the extra fast, compiled again when they are needed",
}
"""The caches by name, with what they hold."""

_KINDS = ("read", "file", "data", "work")
"""Folders in the cache of a URL; `work` may hold what was not uploaded yet."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache: its name, what it holds, where it is, and its size in bytes."""

    name: str
    holds: str
    path: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class Freed:
    """A cache that was freed: the bytes that are gone, and a sentence for each part that was kept."""

    name: str
    bytes: int
    kept: tuple[str, ...] = ()


def list_caches() -> tuple[Cache, ...]:
    """Every cache with its size, also if it is empty."""
    return tuple(Cache(n, holds, _place(n), sum(map(_size, _parts(n)))) for n, holds in CACHES.items())


def free_caches(names: Sequence[str]) -> tuple[Freed, ...]:
    """Remove what caches hold.

    Raises UnknownNameError for a name that is not in `CACHES` and not `all`, before anything is removed,
    and StoreError for a file that cannot be removed.
    """
    for name in names:
        if name not in CACHES and name != "all":
            raise UnknownNameError("cache", name, [*CACHES, "all"])
    return tuple(_free(name) for name in (CACHES if "all" in names else dict.fromkeys(names)))


def _place(name: str) -> Path:
    if name == "kernels":
        return Path(__file__).parents[1] / "corruptions" / "__pycache__"
    return remote_caches() if name == "remote" else cache_folder() / name


def _parts(name: str) -> Iterator[Path]:
    """The files and folders of a cache that are removed each as a whole."""
    place = _place(name)
    if name == "kernels":
        yield from sorted([*place.glob("*.nbi"), *place.glob("*.nbc")])
    elif name == "remote":
        yield from sorted(folder / kind for folder in _folders(place) for kind in _KINDS)
    else:
        yield place


def _folders(place: Path) -> Iterable[Path]:
    return [path for path in place.glob("*") if path.is_dir() and not path.is_symlink()]


def _free(name: str) -> Freed:
    gone, kept = 0, []
    for part in _parts(name):
        size = _size(part)
        reason = _remove(part) if part.exists() or part.is_symlink() else ""
        if reason:
            kept.append(reason)
        else:
            gone += size
    return Freed(name, gone, tuple(kept))


def _remove(part: Path) -> str:
    """Remove a file or folder; the reason if it is kept."""
    try:
        if not part.is_dir() or part.is_symlink():
            part.unlink()
        elif part.name in ("read", "work"):
            with folder_lock(part, "working"):
                if part.name == "work" and not is_uploaded(part):
                    return f"{part}: it holds work that was not uploaded; run its command again"
                shutil.rmtree(part)
        else:
            shutil.rmtree(part)
    except LockedError:
        return f"{part}: another process is using it"
    except OSError as error:
        raise StoreError(f"Cannot remove {error.filename or part}: {error.strerror}.") from error
    return ""


def _size(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size if os.path.lexists(path) else 0
    found = (Path(parent, name) for parent, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in found if os.path.lexists(file))
