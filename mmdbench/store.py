"""Replies on disk: append-only JSON lines, found again by their key.

A run's folder holds one shard for each worker, `replies-<worker>.jsonl`. A line is written
and handed to the operating system as soon as its reply is there, so a killed process loses
nothing; it is forced to the disk once a second and when the store closes, so a power cut
loses at most a second. A line that was torn by a cut is skipped when the shard is read and
cut off before the shard is written to again. `jq` reads the shards.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mmdbench.errors import StoreError
from mmdbench.records import Reply

__all__ = ["ReplyStore", "read_records", "read_replies"]

_SYNC_SECONDS = 1.0


class ReplyStore:
    """The replies of one run: those that are there, and a shard to append new ones to.

    Use it as a context manager, under `files.folder_lock`; the later of two replies of one key
    counts, unless it is an error and the earlier one is not.
    """

    def __init__(self, folder: Path, worker: str = "0") -> None:
        self.path = folder / f"replies-{worker}.jsonl"
        self.replies = read_replies(folder)
        self._synced = time.monotonic()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> ReplyStore:
        try:
            self._file = self.path.open("ab")
            _cut_torn_tail(self.path)
        except OSError as error:
            raise StoreError(f"Cannot write {self.path}: {error.strerror}.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._sync()
            self._file.close()
            self._file = None

    def add(self, reply: Reply) -> None:
        """Append a reply; when this returns, the operating system has it."""
        if self._file is None:
            raise StoreError(f"The store {self.path} is not open for writing.")
        try:
            self._file.write(_line(reply.as_dict()))
            self._file.flush()
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                self._sync()
        except OSError as error:
            raise StoreError(
                f"Cannot write {self.path}: {error.strerror}.",
                hint="Every earlier reply is safe; make room and run the same command again.",
            ) from error
        _keep(self.replies, reply)

    def _sync(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()


def read_replies(folder: Path) -> dict[str, Reply]:
    """All replies of a run's shards, by key."""
    replies: dict[str, Reply] = {}
    for path in sorted(folder.glob("replies-*.jsonl")):
        for record in read_records(path):
            _keep(replies, Reply.from_dict(record))
    return replies


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSON-lines file; a torn last line is left out, any other damage is an error."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error
    with file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("not an object")  # noqa: TRY004 - a kind of bad line, like bad JSON
            except ValueError as error:
                raise StoreError(
                    f"{path}, line {number} is not a JSON record: {error}.",
                    hint="Move that line elsewhere; the other lines are good.",
                ) from error
            yield record


def _line(record: dict[str, Any]) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, which UTF-8 cannot hold but a JSON escape can
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _keep(replies: dict[str, Reply], reply: Reply) -> None:
    earlier = replies.get(reply.key)
    if earlier is None or reply.status != "error" or earlier.status == "error":
        replies[reply.key] = reply


def _cut_torn_tail(path: Path) -> None:
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)
