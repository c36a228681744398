"""Uploads of a working copy to its URL: whole files, the list of them last."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmdbench.errors import StoreError
from mmdbench.system.bounds import require_above
from mmdbench.system.files import MANIFEST_FILE
from mmdbench.system.remote.inputs import size_and_digests
from mmdbench.system.remote.listing import LISTING, CopyState, SyncedFile, files_there, listing_bytes
from mmdbench.system.remote.urls import RemotePath, remote_errors, version_mark

__all__ = ["UPLOAD_SECONDS", "Uploads", "file_state", "files_in", "uploading"]

UPLOAD_SECONDS = 300.0
"""Seconds between two uploads of a working copy, unless MMDBENCH_UPLOAD_SECONDS says otherwise."""

_GROWING = (".jsonl", ".json", ".log", ".md")


@dataclass
class Uploads:
    """The uploads from one working copy; safe to use from several threads.

    `listed` is the list of files as it was last uploaded.
    """

    remote: RemotePath
    folder: Path
    state: CopyState
    listed: bytes = b""
    _one: threading.Lock = field(default_factory=threading.Lock)

    def send(self) -> int:
        """Upload changed files, remove deleted ones, and return the number of uploads. Raises StoreError."""
        with self._one:
            try:
                return self._send()
            except OSError as error:
                raise StoreError(
                    f"Cannot upload from {self.folder}: {error.strerror or error}.",
                    hint="Check the free space of this machine and the permissions of the files.",
                ) from error

    def _send(self) -> int:
        names = files_in(self.folder)
        changed = [
            n for n in names if self._known(n).here != file_state(self.folder / n) or not self._known(n).mark
        ]
        sent = [
            name for name in sorted(changed, key=lambda n: (n == MANIFEST_FILE, n)) if self._send_file(name)
        ]
        gone = [name for name in self.state.files if name not in names]
        for name in gone:
            with remote_errors("remove a file of", self.remote), suppress(FileNotFoundError):
                self.remote.files.rm_file(self.remote.within(name))
            del self.state.files[name]
        # A process that was killed before it wrote the list may have left no other difference.
        unlisted = (self.state.files or self.listed) and listing_bytes(self.state.files) != self.listed
        if sent or gone or unlisted:
            self._close(sent)
        self.state.save()
        return len(sent)

    def _known(self, name: str) -> SyncedFile:
        return self.state.files.get(name, SyncedFile())

    def _send_file(self, name: str) -> bool:
        here = file_state(self.folder / name)
        try:
            return here is not None and self._send_whole(name, here)
        except FileNotFoundError:
            if file_state(self.folder / name) is None:  # removed since
                return False
            raise

    def _send_whole(self, name: str, here: tuple[int, int]) -> bool:
        with _unchanging(self.folder / name) as whole:
            size, digests = size_and_digests(whole)
            known = self._known(name)
            if known.mark and known.sha256 == digests["sha256"]:
                self.state.files[name] = replace(known, here=here)
                return False
            self.state.files[name] = replace(known, sending=digests["sha256"])
            self.state.save()
            with remote_errors("write", self.remote):
                self.remote.files.put_file(str(whole), self.remote.within(name))
        self.state.files[name] = SyncedFile("", size, digests["sha256"], here, digests["sha256"])
        return True

    def _close(self, sent: list[str]) -> None:
        """Upload the list, and check that every file arrived."""
        listing = listing_bytes(self.state.files)
        with remote_errors("write", self.remote):
            self.remote.files.pipe_file(self.remote.within(LISTING), listing)
        there = files_there(self.remote)
        for name in sent:
            known = self.state.files[name]
            if name not in there or there[name]["size"] != known.size:
                raise StoreError(
                    f"{name} did not arrive whole at {self.remote.shown}.", hint="Run the same command again."
                )
            self.state.files[name] = replace(known, mark=version_mark(there[name]))
        self.listed = listing


@contextmanager
def uploading(uploads: Uploads, show: Callable[[str], None]) -> Iterator[None]:
    """Upload every few minutes while the block runs; a failure is shown and tried again later."""
    ended = threading.Event()
    pause = _pause()

    def work() -> None:
        while not ended.wait(pause):
            try:
                uploads.send()
            except StoreError as error:
                show(f"{error.message} The next try is in {pause:.0f} s.")

    thread = threading.Thread(target=work, name="uploads", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def files_in(folder: Path) -> list[str]:
    """The files below a folder by their names with slashes, without hidden ones, sorted."""
    found: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name).relative_to(folder).as_posix() for name in files if not name.startswith(".")
        ]
    return sorted(found)


def file_state(path: Path) -> tuple[int, int] | None:
    """A local file's size in bytes and time of change in ns; None if it does not exist."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


@contextmanager
def _unchanging(path: Path) -> Iterator[Path]:
    """The file, or a copy of it if it may change while it is uploaded."""
    if path.suffix not in _GROWING:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="mmdbench-") as room:
        copy = Path(room) / path.name
        shutil.copyfile(path, copy)
        yield copy


def _pause() -> float:
    text = os.environ.get("MMDBENCH_UPLOAD_SECONDS", "") or UPLOAD_SECONDS
    try:
        pause: object = float(text)
    except ValueError:
        pause = text
    require_above("MMDBENCH_UPLOAD_SECONDS", pause, 0, below=threading.TIMEOUT_MAX)
    return float(text)
