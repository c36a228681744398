"""Download of one file: resumed where it stopped, retried after errors, never partly in place."""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from mmdbench._version import __version__
from mmdbench.errors import DataError, DownloadError, StoreError
from mmdbench.system.http import retry_after
from mmdbench.system.json_text import parse_json
from mmdbench.system.locks import file_lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Download", "DownloadProgress", "FetchSettings", "download", "download_to", "mirrored"]

_PIECE = 1 << 18
_MOST_TRIES = 100
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)
_HUGGING_FACE = "https://huggingface.co"
_STATUS_HINTS = {
    401: "The host wants a login: download the file by hand.",
    403: "The host refuses: a licence may have to be accepted there; download the file by hand.",
    404: "The file has moved: search for it at the benchmark's source, or set HF_ENDPOINT to a mirror.",
    410: "The file was taken down by its host.",
    429: "The host limits downloads: try again later, or set HF_ENDPOINT to a mirror.",
}


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """The progress of a download, in bytes; `total` is None if the host does not send it."""

    name: str
    done: int
    total: int | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """Settings of a download; times in seconds.

    `retries` is the number of tries in a row that may bring no new bytes. `longest_wait_s` bounds every
    wait; a host that asks for more is an error. `lock_wait_s` bounds the wait for another process that
    downloads the same file. `endpoint` replaces https://huggingface.co (default: `$HF_ENDPOINT`).
    `authorization` is the header of that name; a host that the request is redirected to does not get it.
    `elsewhere` says how to choose another folder. Proxies are taken from the environment (`https_proxy`,
    `no_proxy`).
    """

    timeout_s: float = 30.0
    retries: int = 5
    backoff_s: float = 1.0
    longest_wait_s: float = 120.0
    lock_wait_s: float = 3600.0
    endpoint: str | None = None
    authorization: str = field(default="", repr=False)
    elsewhere: str = "Choose another folder: --data-dir"
    progress: Callable[[DownloadProgress], None] | None = None
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Download:
    """A finished download; `resumed` is true if bytes of an earlier try are part of it."""

    url: str
    bytes: int
    resumed: bool


class _InterruptedError(Exception):
    """A failed try that may be repeated: the reason, and the wait that the host asked for."""

    def __init__(self, reason: str, wait_s: float | None = None, status: int = 0) -> None:
        super().__init__(reason)
        self.wait_s, self.status = wait_s, status


def mirrored(url: str, endpoint: str | None = None) -> str:
    """The URL with huggingface.co replaced by the mirror in `endpoint` or `$HF_ENDPOINT`."""
    mirror = endpoint or os.environ.get("HF_ENDPOINT") or _HUGGING_FACE
    if not mirror.startswith(("https://", "http://")):
        mirror = f"https://{mirror}"
    return (
        mirror.rstrip("/") + url.removeprefix(_HUGGING_FACE) if url.startswith(_HUGGING_FACE + "/") else url
    )


def download(name: str, url: str, part: Path, settings: FetchSettings) -> Download:
    """Download a file, resuming an earlier call if the host confirms that the file is unchanged.

    Args:
        name: The benchmark, for messages.
        url: The address.
        part: The file to write to; it and its `.json` stay for the next call if this one fails.
        settings: Timeouts, retries and progress.

    Returns:
        The size and origin of the file.

    Raises:
        DownloadError: The host or the connection failed too often, or the host refuses.
        DataError: The host sent a web page in place of the file.
        StoreError: The disk is full or read-only.
    """
    best, failures, resumed = -1, 0, False
    for tries in range(1, _MOST_TRIES + 1):
        try:
            resumed = _try_once(name, url, part, settings) or resumed
            return Download(url, part.stat().st_size, resumed)
        except _InterruptedError as error:
            size = part.stat().st_size if part.exists() else 0
            best, failures = (size, 0) if size > best else (best, failures + 1)
            resumed = resumed or size > 0
            wait_s = error.wait_s
            if wait_s is None:
                wait_s = min(settings.backoff_s * 2 ** min(failures, 16), settings.longest_wait_s)
            if failures >= settings.retries or wait_s > settings.longest_wait_s or tries == _MOST_TRIES:
                raise _gave_up(name, url, part, error, tries) from error
            if settings.progress:
                settings.progress(DownloadProgress(name, size, None, f"{error}; next try in {wait_s:.0f} s"))
            settings.sleep(wait_s)
    raise AssertionError("unreachable")


def download_to(
    target: Path,
    name: str,
    url: str,
    settings: FetchSettings,
    is_right: Callable[[Path], bool],
    *,
    strict: bool,
) -> Download | None:
    """Download a file to its place, unless it is there; of several processes, one does.

    A file that was resumed and is not right is downloaded once more, from the start: its parts may be of
    different versions.

    Args:
        target: The place of the file, in a folder that exists.
        name: The file, for messages.
        url: The address.
        settings: Timeouts, retries and progress.
        is_right: Compares a downloaded file with a checksum.
        strict: Refuse a file that is not right; otherwise it is kept.

    Returns:
        The size and origin of the file; None if it was there.

    Raises:
        DownloadError: The download failed, or the file is not right and `strict` is set.
    """
    part = target.with_name(target.name + ".part")
    lock = target.with_name(target.name + ".lock")
    with file_lock(lock, wait_s=settings.lock_wait_s, sleep=settings.sleep):
        # Another process may have finished the same download while this one waited.
        if target.is_file():
            return None
        done = download(name, url, part, settings)
        right = not (done.resumed or strict) or is_right(part)
        if done.resumed and not right:
            part.unlink(missing_ok=True)
            done = download(name, url, part, settings)
            right = not strict or is_right(part)
        if not right:
            part.unlink(missing_ok=True)
            _note_path(part).unlink(missing_ok=True)
            raise DownloadError(
                f"{name} from {url} is damaged: its checksum is not the one that its host lists.",
                hint="Run the same command again.",
            )
        part.replace(target)
        _note_path(part).unlink(missing_ok=True)
    return done


def _try_once(name: str, url: str, part: Path, settings: FetchSettings) -> bool:
    """One request; returns true if it resumed from earlier bytes."""
    note = _read_note(part)
    offset = part.stat().st_size if part.exists() and note.get("url") == url and note.get("validator") else 0
    headers = {"User-Agent": f"mmdbench/{__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": str(note["validator"])}
    request = Request(url, headers=headers)  # noqa: S310 - the catalogue and the Hub hold https only
    if settings.authorization:
        request.add_unredirected_header("Authorization", settings.authorization)
    try:
        with build_opener().open(request, timeout=settings.timeout_s) as response:
            start = _start(response, offset, part)
            total = _total(response, start)
            if start == 0:
                _refuse_page(response.headers.get_content_type() == "text/html", name, url)
                _write_note(part, url, response.headers, settings)
            _check_space(part, total, start, settings)
            _receive(response, part, start, DownloadProgress(name, start, total), settings, url)
            return start > 0
    except HTTPError as error:
        with error:
            return _on_status(error, part, offset, name, url)
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DownloadError(f"Cannot download {name} from {url}: {error.reason}.") from error
        raise _InterruptedError(f"no connection ({error.reason})") from error
    except (http.client.HTTPException, OSError) as error:
        raise _InterruptedError(f"the connection broke ({error or type(error).__name__})") from error


def _receive(
    response: Any, part: Path, start: int, progress: DownloadProgress, settings: FetchSettings, url: str
) -> None:
    done, total = start, progress.total
    with _open_part(part, start, settings) as file:
        while True:
            if settings.progress:
                settings.progress(DownloadProgress(progress.name, done, total))
            piece = response.read(_PIECE)
            if not piece:
                break
            if done == 0:
                head = piece[:200].lstrip().lower()
                _refuse_page(head.startswith((b"<!doctype html", b"<html")), progress.name, url)
            _write(file, piece, part)
            done += len(piece)
    if total is not None and done != total:
        raise _InterruptedError(f"the connection ended after {done} of {total} bytes")
    if done == 0:
        raise _InterruptedError("the host sent nothing")


def _start(response: Any, offset: int, part: Path) -> int:
    """The position of the first byte that the host sends: `offset`, or 0 if it starts again."""
    if response.status != 206:
        return 0
    span = response.headers.get("Content-Range", "")
    if not span.startswith(f"bytes {offset}-"):
        part.unlink(missing_ok=True)
        raise _InterruptedError(f"the host was asked for bytes from {offset} and sent {span!r}")
    return offset


def _total(response: Any, start: int) -> int | None:
    if response.status == 206:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        size = response.headers.get("Content-Length", "")
    if size.isdecimal():
        return int(size)
    return start + int(response.length) if response.length else None


def _on_status(error: HTTPError, part: Path, offset: int, name: str, url: str) -> bool:
    if error.code == 416 and offset:
        if error.headers.get("Content-Range", "").endswith(f"/{offset}"):
            return True
        part.unlink(missing_ok=True)
        raise _InterruptedError("the file changed at its host") from error
    reason = f"the host answered {error.code} {error.reason}"
    if error.code in _RETRIED_STATUS:
        wait_s = retry_after(error.headers, resets=error.code == 429)
        raise _InterruptedError(reason, wait_s, error.code) from error
    hint = f"{_STATUS_HINTS.get(error.code, '')} Then put it at {_target(part)}".strip()
    raise DownloadError(f"Cannot download {name} from {url}: {reason}.", hint=hint) from error


def _gave_up(name: str, url: str, part: Path, error: _InterruptedError, tries: int) -> DownloadError:
    wait = f"; it asks to wait {error.wait_s:.0f} s" if error.wait_s else ""
    hint = "To resume, run the same command again."
    hint += " " + _STATUS_HINTS.get(
        error.status, "A mirror can be set with HF_ENDPOINT, a proxy with https_proxy."
    )
    return DownloadError(
        f"Cannot download {name} from {url}: {error}{wait} ({tries} tries).",
        hint=f"{hint} Or put the file at {_target(part)}",
    )


def _refuse_page(is_page: bool, name: str, url: str) -> None:
    if is_page:
        raise DataError(
            f"{url} gave a web page, not the file of {name}.",
            hint="A login page of the network or a mirror may be in the way; open the link in a browser.",
        )


def _check_space(part: Path, total: int | None, start: int, settings: FetchSettings) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        raise StoreError(
            f"{part.parent} has {free >> 20} MiB left, but {(total - start) >> 20} MiB are needed.",
            hint=f"Make room. {settings.elsewhere}",
        )


def _open_part(part: Path, start: int, settings: FetchSettings) -> BinaryIO:
    try:
        file = part.open("r+b" if start else "wb")
        file.seek(start)
    except OSError as error:
        raise StoreError(f"Cannot write {part}: {error.strerror}.", hint=settings.elsewhere) from error
    return file


def _write(file: BinaryIO, piece: bytes, part: Path) -> None:
    try:
        file.write(piece)
        file.flush()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "Make room and run the same command again." if full else ""
        raise StoreError(f"Cannot write {part}: {error.strerror}.", hint=hint) from error


def _note_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _target(part: Path) -> Path:
    return part.with_name(part.name.removesuffix(".part"))


def _read_note(part: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        note = parse_json(_note_path(part).read_bytes())
        if isinstance(note, dict):
            return note
    return {}


def _write_note(part: Path, url: str, headers: Any, settings: FetchSettings) -> None:
    tag = headers.get("ETag") or ""
    # A weak tag does not promise equal bytes, so a download cannot be resumed by it.
    validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""
    text = json.dumps({"url": url, "validator": validator})
    try:
        # The old bytes are removed first: a new note must never be taken for theirs.
        part.unlink(missing_ok=True)
        _note_path(part).write_text(text, "utf-8")
    except OSError as error:
        raise StoreError(f"Cannot write {part}: {error.strerror}.", hint=settings.elsewhere) from error
