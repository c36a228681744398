"""Store of replies on disk: append-only JSON lines, addressed by key.

A run's folder holds files `replies-<worker>.jsonl`. Each reply is passed to the operating system at
once, so a killed process loses nothing; it is forced to the disk once a second and when the store
closes, so a power cut loses at most a second. The lines and their checks are those of `json_lines`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from sys import intern
from types import TracebackType
from typing import Any

from mmdbench.errors import StoreError
from mmdbench.records import REPLACED, Reply
from mmdbench.run.folder import replies_file
from mmdbench.run.generations import FIRST, Generation, time_stamp
from mmdbench.run.json_lines import LineAppender, read_lines, read_typed_lines, write_lines
from mmdbench.run.reply_records import Shared, StoredReply, make_reply, read_line
from mmdbench.system.collection import uncollected
from mmdbench.system.files import cannot_write, is_at, make_folder, open_atomic
from mmdbench.system.unicode_text import readable

__all__ = [
    "ReplyStore",
    "read_index",
    "read_replies",
    "shard_paths",
    "write_replies",
]

_SYNC_SECONDS = 1.0
# Made once: `json.dumps` makes a new encoder in every call that has settings.
_LINE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=dict)


class ReplyStore:
    """The replies of one run: the status of each stored key, and a file to append new replies to.

    Use it as a context manager, under `locks.folder_lock`. Only keys, statuses and the names that servers
    gave to their models are kept in memory, so its size is bounded by the plan, not by the length of replies.

    Args:
        folder: The run's folder.
        worker: The worker, which names the file of new replies.
        generation: The generation of new replies; stored ones from before its time count as not stored.
    """

    def __init__(self, folder: Path, worker: str = "0", generation: Generation = FIRST) -> None:
        self.path = folder / replies_file(worker)
        self.generation = generation
        self.served: dict[str, str] = {}
        self.index = read_index(folder, generation.since, self.served)
        self._synced = time.monotonic()
        self._file: LineAppender | None = None

    def __enter__(self) -> ReplyStore:
        try:
            self._file = LineAppender(self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.sync()
        except StoreError:
            if kind is None:  # or else the block's own error is the first one
                raise
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None

    def answered(self, *, errors_count: bool = False) -> set[str]:
        """The keys that are not asked again; a stored error counts only if `errors_count`."""
        return {key for key, status in self.index.items() if errors_count or status != "error"}

    def add(self, reply: Reply) -> None:
        """Append a reply; when this returns, the operating system has it.

        Raises StoreError if it cannot be written: the file then ends with the reply before it, and a shorter
        one may still fit.
        """
        if self._file is None:
            raise StoreError(f"The store {self.path} is not open for writing.")
        asked = time_stamp(datetime.now(timezone.utc))
        reply = replace(reply, asked=asked, generation=self.generation.number)
        try:
            self._file.append(_reply_text(reply))
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if _counts(self.index.get(reply.key), reply.status):
            self.index[reply.key] = reply.status

    def sync_when_due(self) -> None:
        """Do as `sync` if the last time is a second ago."""
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Force the replies to the disk.

        Raises StoreError if that fails, or if the file was removed or replaced; it is written again then.
        """
        if self._file is None:
            return
        self._synced = time.monotonic()
        try:
            self._file.sync()
            if not is_at(self._file.file, self.path):
                self._write_again(self._file)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _write_again(self, lost: LineAppender) -> None:
        """Copy the file, which was removed but is still open, to its place, or beside what is there now."""
        gone, number = self.path, 1
        make_folder(gone.parent)
        while self.path.exists():
            self.path, number = gone.with_name(f"{gone.stem}-{number}{gone.suffix}"), number + 1
        lost.file.seek(0)
        with open_atomic(self.path) as copy:
            shutil.copyfileobj(lost.file, copy)
        self._file = LineAppender(self.path, lost.lines)
        lost.close()
        raise StoreError(
            f"{gone} was removed or replaced while the run was writing to it.",
            hint=f"Its replies are in {self.path} now; run the same command again.",
        )


def shard_paths(folder: Path) -> list[Path]:
    """The files of replies of a run, in the order of reading."""
    return sorted(folder.glob(replies_file("*")))


def read_index(folder: Path, since: str = "", served: dict[str, str] | None = None) -> dict[str, str]:
    """The status of stored replies by key; of several replies to one key, that of the one that counts.

    Args:
        folder: The run's folder.
        since: Leave out replies that were asked before this time, in ISO format, or have no time.
        served: Gets the name of the model by key, as the server gave it; empty if it gave none.

    Returns:
        Key → status.
    """
    index: dict[str, str] = {}
    generations: dict[str, int] = {}
    with uncollected():
        for path in shard_paths(folder):
            for number, record in read_lines(path):
                try:
                    key, status, asked, generation, model = _indexed(record)
                except (KeyError, TypeError) as error:
                    raise _no_reply(path, number, error) from error
                if since and asked < since:
                    continue
                if _counts(index.get(key), status, generation - generations.get(key, 0)):
                    index[key] = status
                    if generation:
                        generations[key] = generation
                    if served is not None:
                        served[key] = model
    return index


def read_replies(folder: Path, keys: Collection[str] | None = None) -> dict[str, Reply]:
    """The stored replies of a run by key: all of them, or those of `keys`.

    Of two replies to one key that of the newer generation counts; within one generation the later,
    unless it is an error and the earlier one is not.
    """
    found: dict[str, Reply] = {}
    shared: Shared = {}
    with uncollected():
        for path in shard_paths(folder):
            for number, line in read_typed_lines(path, StoredReply, _no_reply, read_line):
                if keys is not None and line.key not in keys:
                    continue
                earlier = found.get(line.key)
                newer = line.generation - (earlier.generation if earlier else 0)
                if _counts(earlier.status if earlier else None, line.status, newer):
                    try:
                        found[line.key] = make_reply(line, shared)
                    except ValueError as error:
                        raise _no_reply(path, number, error) from error
    return found


def _indexed(record: Mapping[str, Any]) -> tuple[str, str, str, int, str]:
    """Key, status, time, generation and served model of a stored reply. Raises KeyError and TypeError."""
    key, status, asked = record["key"], record["status"], record.get("asked", "")
    generation, details = record.get("generation", 0), record.get("details", {})
    if not (key.__class__ is status.__class__ is asked.__class__ is str and generation.__class__ is int):
        raise TypeError("its key, status, time or generation is of another type")
    if not isinstance(details, dict):
        raise TypeError("its details are no object")
    return key, status, asked, generation, intern(str(details.get("model") or ""))


def _no_reply(path: Path, number: int, why: Exception) -> StoreError:
    return StoreError(
        f"{path}, line {number} is not a reply: {f'it has no {why}' if isinstance(why, KeyError) else why}.",
        hint="Move that line elsewhere; the other lines are good.",
    )


def write_replies(path: Path, replies: Iterable[Reply]) -> None:
    """Write a whole file of replies. Raises StoreError."""
    write_lines(path, map(_reply_text, replies))


def _reply_text(reply: Reply) -> str:
    record = reply.as_dict()
    text = _LINE.encode(record)
    try:
        text.encode()
    except UnicodeEncodeError:
        record, replaced = readable(record)
        record["details"][REPLACED] = replaced
        return _LINE.encode(record)
    return text


def _counts(earlier: str | None, status: str, newer: int = 0) -> bool:
    """True if a reply replaces an earlier one; `newer` is the number of generations between them."""
    if earlier is None or newer:
        return earlier is None or newer > 0
    return status != "error" or earlier == "error"
