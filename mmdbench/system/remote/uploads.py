"""From a working copy to its URL: whole files, the list of them last."""

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
from mmdbench.system.remote.inputs import bytes_of
from mmdbench.system.remote.listing import LISTING, Known, State, files_there, listing_bytes
from mmdbench.system.remote.urls import Place, explained, mark_of

__all__ = ["UPLOAD_SECONDS", "Uploads", "files_in", "now_and_then", "seen"]

UPLOAD_SECONDS = 300.0
"""How often what is new is uploaded while the work goes on, in seconds; MMDBENCH_UPLOAD_SECONDS."""

_GROWING = (".jsonl", ".json", ".log", ".md")


@dataclass
class Uploads:
    """What is in a folder here and not yet there; used by one thread at a time.

    `listed` is the list of files as it lies there.
    """

    place: Place
    folder: Path
    state: State
    listed: bytes = b""
    _one: threading.Lock = field(default_factory=threading.Lock)

    def send(self) -> int:
        """Upload what changed and remove there what is gone here; the number of files. Raises StoreError."""
        with self._one:
            try:
                return self._send()
            except OSError as error:
                raise StoreError(
                    f"Cannot upload from {self.folder}: {error.strerror or error}.",
                    hint="Is there room on this machine, and may its files be read?",
                ) from error

    def _send(self) -> int:
        names = files_in(self.folder)
        changed = [
            n for n in names if self._known(n).here != seen(self.folder / n) or not self._known(n).mark
        ]
        sent = [
            name for name in sorted(changed, key=lambda n: (n == MANIFEST_FILE, n)) if self._send_file(name)
        ]
        gone = [name for name in self.state.files if name not in names]
        for name in gone:
            with explained("remove a file of", self.place), suppress(FileNotFoundError):
                self.place.files.rm_file(self.place.within(name))
            del self.state.files[name]
        # A process that was killed before it wrote the list may have left no other difference.
        unlisted = (self.state.files or self.listed) and listing_bytes(self.state.files) != self.listed
        if sent or gone or unlisted:
            self._close(sent)
        self.state.save()
        return len(sent)

    def _known(self, name: str) -> Known:
        return self.state.files.get(name, Known())

    def _send_file(self, name: str) -> bool:
        here = seen(self.folder / name)
        try:
            return here is not None and self._send_whole(name, here)
        except FileNotFoundError:
            if seen(self.folder / name) is None:  # removed meanwhile
                return False
            raise

    def _send_whole(self, name: str, here: tuple[int, int]) -> bool:
        with _unchanging(self.folder / name) as whole:
            size, digests = bytes_of(whole)
            known = self._known(name)
            if known.mark and known.sha256 == digests["sha256"]:
                self.state.files[name] = replace(known, here=here)
                return False
            self.state.files[name] = replace(known, sending=digests["sha256"])
            self.state.save()
            with explained("write", self.place):
                self.place.files.put_file(str(whole), self.place.within(name))
        self.state.files[name] = Known("", size, digests["sha256"], here, digests["sha256"])
        return True

    def _close(self, sent: list[str]) -> None:
        """Upload the list, and see that every file arrived."""
        listing = listing_bytes(self.state.files)
        with explained("write", self.place):
            self.place.files.pipe_file(self.place.within(LISTING), listing)
        there = files_there(self.place)
        for name in sent:
            known = self.state.files[name]
            if name not in there or there[name]["size"] != known.size:
                raise StoreError(
                    f"{name} did not arrive whole at {self.place.shown}.", hint="Run the same command again."
                )
            self.state.files[name] = replace(known, mark=mark_of(there[name]))
        self.listed = listing


@contextmanager
def now_and_then(uploads: Uploads, tell: Callable[[str], None]) -> Iterator[None]:
    """Upload every few minutes while the block runs; what fails then is told and tried again later."""
    ended = threading.Event()
    pause = _pause()

    def work() -> None:
        while not ended.wait(pause):
            try:
                uploads.send()
            except StoreError as error:
                tell(f"{error.message} The next try is in {pause:.0f} s.")

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
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name).relative_to(folder).as_posix() for name in files if not name.startswith(".")
        ]
    return sorted(found)


def seen(path: Path) -> tuple[int, int] | None:
    """A file's length and time of change, None if it is not there."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


@contextmanager
def _unchanging(path: Path) -> Iterator[Path]:
    """The file, or a copy of one that may be written to while it is uploaded."""
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
