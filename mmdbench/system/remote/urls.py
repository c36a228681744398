"""What a URL names, the file system behind it, and what is said when that cannot be reached."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from mmdbench.errors import MissingExtraError, MmdbenchError, StoreError, UnknownNameError, UsageError
from mmdbench.system.digest import value_digest

__all__ = ["Place", "explained", "is_url", "local_path", "mark_of", "open_place", "plain_url"]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://(.*)", re.DOTALL)
_IN_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+://)([^\s'\"<>]*)")
_LOCAL = ("file", "local")
_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "hf": "huggingface_hub",
    "az": "adlfs",
    "abfs": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
}
_MARKS = ("ETag", "etag", "generation", "md5Hash", "blob_id", "sha256")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")


@dataclass(frozen=True, slots=True)
class Place:
    """A URL that can be reached: its file system, the path there, and the URL without secrets."""

    shown: str
    files: Any = field(repr=False)
    path: str

    def within(self, name: str) -> str:
        """The path of a file below it, named with slashes."""
        return f"{self.path.rstrip('/')}/{name}"

    @property
    def cache(self) -> Path:
        """The folder on this machine that belongs to this URL alone."""
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return home / "mmdbench" / "remote" / value_digest(self.shown)[:16]

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return re.split(r"[/:]", self.shown.rstrip("/"))[-1] or "root"


def is_url(text: object) -> bool:
    """Whether a user means a URL and not a path.

    >>> is_url("s3://bucket/run"), is_url("runs/a"), is_url("C:/runs"), is_url("paper:clear-rl")
    (True, False, False, False)
    """
    return isinstance(text, str) and _URL.fullmatch(text) is not None


def plain_url(url: str) -> str:
    """The URL without what may be secret: user, password, query and fragment.

    >>> plain_url("https://me:key@host/own.tsv?X-Amz-Signature=abc")
    'https://host/own.tsv'
    """
    match = _URL.fullmatch(url)
    if match is None:
        return url
    scheme, rest = match[1].lower(), re.split(r"[?#]", match[2], maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    # In hf://user/model@revision the sign belongs to the name, and there is no user before a host.
    host = host if scheme == "hf" else host.rpartition("@")[2]
    return f"{scheme}://{host}{slash}{path}"


def local_path(url: str) -> Path | None:
    """The path that a `file://` URL is; None for every other URL."""
    match = _URL.fullmatch(url)
    if match is None or match[1].lower() not in _LOCAL:
        return None
    path = match[2].removeprefix("localhost")
    if not path.startswith("/"):
        raise UsageError(
            f"{url} names no absolute path.", hint="Write file:///home/me/runs, or a plain path."
        )
    return Path(path[1:] if re.match(r"/[A-Za-z]:", path) else path)


def open_place(url: str) -> Place:
    """Find the file system of a URL; nothing is sent yet.

    Slashes at its end say nothing: with and without them it is one place.

    Raises MissingExtraError without fsspec, StoreError without the package that its scheme needs,
    UnknownNameError for a scheme that fsspec does not know.
    """
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    start = f"{scheme}://"
    # A query may end with a slash that belongs to a signature.
    url = start + (rest if re.search(r"[?#]", rest) else rest.rstrip("/"))
    try:
        fsspec: Any = import_module("fsspec")
    except ImportError as error:
        raise MissingExtraError("fsspec", extra="remote") from error
    if scheme not in (*fsspec.available_protocols(), *_PACKAGES):
        raise UnknownNameError("scheme", scheme, ("file", "gs", "hf", "memory", "s3"))
    try:
        files, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        hint = f"Run: pip install {package}" if package else ""
        raise StoreError(
            f"{scheme}:// needs {package or 'a package'}, which is not installed.", hint=hint or str(error)
        ) from error
    except Exception as error:  # file systems are foreign code, and may raise anything
        raise _cannot("reach", plain_url(url), error) from error
    return Place(start + plain_url(url).removeprefix(start).rstrip("/"), files, str(path))


@contextmanager
def explained(doing: str, place: Place) -> Iterator[None]:
    """Say what was being done at which URL when a file system fails; secrets are left out."""
    try:
        yield
    except MmdbenchError:
        raise
    except Exception as error:  # as above
        raise _cannot(doing, place.shown, error) from error


def mark_of(info: Mapping[str, Any]) -> str:
    """What changes when a file there changes: its size with its tag, or with its time where it has none."""
    keys = [key for key in _MARKS if info.get(key)][:1] or [key for key in _TIMES if info.get(key)]
    return value_digest({"size": int(info["size"] or 0), **{key: str(info[key]) for key in keys}})[:16]


def _cannot(doing: str, shown: str, error: Exception) -> StoreError:
    what = _IN_TEXT.sub(lambda match: plain_url(match[0]), str(error)).strip().rstrip(".")
    kind = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return StoreError(f"Cannot {doing} {shown}: there is no such place.", hint="Is its bucket there?")
    if isinstance(error, PermissionError) or "Credentials" in kind:
        return StoreError(
            f"Cannot {doing} {shown}: no permission ({kind}: {what}).",
            hint="Credentials come from where its package looks for them: see docs/remote.md.",
        )
    return StoreError(
        f"Cannot {doing} {shown}: {kind}: {what}.", hint="Is the network there, and the host's name right?"
    )
