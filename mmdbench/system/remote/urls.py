"""Remote paths by their URLs, and errors of their file systems as StoreErrors without secrets."""

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
from mmdbench.system.inner_paths import is_plain_name

__all__ = [
    "RemotePath",
    "is_url",
    "local_path",
    "open_remote",
    "plain_url",
    "remote_caches",
    "remote_errors",
    "version_mark",
]

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
class RemotePath:
    """A path in a remote file system.

    `shown` is its URL without secrets, `files` the fsspec file system, `path` the path in it.
    """

    shown: str
    files: Any = field(repr=False)
    path: str

    def within(self, name: str) -> str:
        """The path of a file below it, named with slashes."""
        return f"{self.path.rstrip('/')}/{name}"

    @property
    def cache(self) -> Path:
        """The local cache folder of this URL."""
        return remote_caches() / value_digest(self.shown)[:16]

    @property
    def name(self) -> str:
        """The last part of the URL, as the name of a local copy."""
        name = re.split(r"[/:]", self.shown.rstrip("/"))[-1]
        return name if is_plain_name(name) else "root"


def remote_caches() -> Path:
    """The folder with the cache folder of every URL."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmdbench" / "remote"


def is_url(text: object) -> bool:
    """True if a text is a URL and not a path.

    >>> is_url("s3://bucket/run"), is_url("runs/a"), is_url("C:/runs"), is_url("paper:clear-rl")
    (True, False, False, False)
    """
    return isinstance(text, str) and _URL.fullmatch(text) is not None


def plain_url(url: str) -> str:
    """The URL without its parts that may be secret: user, password, query and fragment.

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
    """The path that a `file://` URL means; None for any other URL."""
    match = _URL.fullmatch(url)
    if match is None or match[1].lower() not in _LOCAL:
        return None
    path = match[2].removeprefix("localhost")
    if not path.startswith("/"):
        raise UsageError(
            f"{url} must hold an absolute path.", hint="Write file:///home/me/runs, or a plain path."
        )
    return Path(path[1:] if re.match(r"/[A-Za-z]:", path) else path)


def open_remote(url: str) -> RemotePath:
    """The remote path of a URL; nothing is sent yet. Slashes at its end do not matter.

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
    return RemotePath(start + plain_url(url).removeprefix(start).rstrip("/"), files, str(path))


@contextmanager
def remote_errors(doing: str, remote: RemotePath) -> Iterator[None]:
    """Turn errors of a file system into StoreErrors that name the action and the URL, without secrets."""
    try:
        yield
    except MmdbenchError:
        raise
    except Exception as error:  # as above
        raise _cannot(doing, remote.shown, error) from error


def version_mark(info: Mapping[str, Any]) -> str:
    """A short text that changes with a file, from its record: its size with its tag, else with its time."""
    keys = [key for key in _MARKS if info.get(key)][:1] or [key for key in _TIMES if info.get(key)]
    return value_digest({"size": int(info["size"] or 0), **{key: str(info[key]) for key in keys}})[:16]


def _cannot(doing: str, shown: str, error: Exception) -> StoreError:
    what = _IN_TEXT.sub(lambda match: plain_url(match[0]), str(error)).strip().rstrip(".")
    kind = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return StoreError(f"Cannot {doing} {shown}: it does not exist.", hint="Check the name of its bucket.")
    if isinstance(error, PermissionError) or "Credentials" in kind:
        return StoreError(
            f"Cannot {doing} {shown}: no permission ({kind}: {what}).",
            hint="For the places that credentials are read from, see docs/remote.md.",
        )
    return StoreError(
        f"Cannot {doing} {shown}: {kind}: {what}.", hint="Check the network and the host's name."
    )
