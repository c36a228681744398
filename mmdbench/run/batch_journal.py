"""Journal of the batches that a run sent to a batch endpoint, in the run's folder.

A batch is written before its file is uploaded, so that a killed process finds it again by its name and pays
for nothing twice. Beside the journal, each open batch has a file with its requests as replies without an
answer: its answers can be stored without the plan that it was made from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from mmdbench.errors import ShapeError, StoreError
from mmdbench.records import Reply
from mmdbench.run.folder import BATCH_JOURNAL, BATCHES
from mmdbench.run.inputs import BatchSettings
from mmdbench.run.json_lines import LineAppender, checked_line, read_records
from mmdbench.run.reply_records import read_reply
from mmdbench.system.files import cannot_write, make_folder
from mmdbench.system.inner_paths import inner_path
from mmdbench.system.shapes import check_shape, read_as

__all__ = ["BatchFile", "BatchJournal", "SentBatch", "SentRequest"]

_HINT = "Remove that line; a batch that it alone names is not collected."
_OWN_FILE = re.compile(r"[0-9a-f]{32}(\.upload)?\.jsonl")


@dataclass(frozen=True, slots=True)
class SentBatch:
    """A batch in the journal: its own `name`, and the server's `id`, empty if its start was not confirmed.

    `requests` is their number and `usd` their estimated cost; `generation` is that of their replies;
    `status` is the server's when the batch was collected, empty for an open one.
    """

    name: str
    id: str = ""
    requests: int = 0
    usd: float = 0.0
    generation: int = 0
    status: str = ""


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request in a batch: its reply without an answer, and the options of its question by letter."""

    reply: Reply
    options: Mapping[str, str]


class BatchFile:
    """The file of one batch while it is written, and the file of its requests."""

    def __init__(self, folder: Path) -> None:
        self.name = uuid4().hex
        self.path = make_folder(folder / BATCHES) / f"{self.name}.upload.jsonl"
        self._requests = _requests_path(folder, self.name)
        self.count = self._bytes = 0

    def fits(self, line: bytes, limits: BatchSettings) -> bool:
        """True if another line is within the limits."""
        return self.count < limits.most_requests and self._bytes + len(line) <= limits.most_bytes

    def add(self, line: bytes, request: SentRequest) -> None:
        """Append a request, as a line of the batch and as a line of its requests."""
        text = json.dumps({**request.reply.as_dict(), "options": dict(request.options)})
        record = checked_line(text, self.count + 1)
        try:
            for path, data in ((self.path, line), (self._requests, record)):
                with path.open("ab") as file:
                    file.write(data)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.count += 1
        self._bytes += len(line)


class BatchJournal:
    """The batches of a run; those without a status are open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / BATCH_JOURNAL
        merged: dict[str, dict[str, Any]] = {}
        for record in read_records(self.path) if self.path.exists() else ():
            name = record.get("name")
            if not (isinstance(name, str) and name.isalnum()):  # it is a part of a file's name
                raise StoreError(f"{self.path} has a line without the name of a batch.", hint=_HINT)
            merged.setdefault(name, {}).update(record)
        try:
            self.batches = {name: read_as(SentBatch, record, name) for name, record in merged.items()}
        except ShapeError as error:
            raise StoreError(f"{self.path} is damaged: {error}.", hint=_HINT) from error

    @property
    def open(self) -> list[SentBatch]:
        """The batches that are not collected yet, oldest first."""
        return [batch for batch in self.batches.values() if not batch.status]

    def record(self) -> dict[str, str]:
        """The status of each batch by its id, for the run's manifest."""
        return {b.id: b.status or "open" for b in self.batches.values() if b.id}

    def write(self, batch: SentBatch, changed: Mapping[str, Any]) -> None:
        """Append what is new about a batch; when this returns, the operating system has it."""
        self.batches[batch.name] = batch
        try:
            with closing(LineAppender(self.path)) as file:
                file.append(json.dumps({"name": batch.name, **changed}))
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def tidy(self) -> None:
        """Remove the files of batches that are not open, and those that were uploaded."""
        kept = {_requests_path(self._folder, batch.name) for batch in self.open}
        folder = self._folder / BATCHES
        for path in folder.glob("*.jsonl"):
            if path not in kept and _OWN_FILE.fullmatch(path.name):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # open batches have files there
            folder.rmdir()

    def requests(self, batch: SentBatch) -> Iterator[SentRequest]:
        """The requests of an open batch. Raises StoreError."""
        for record in read_records(_requests_path(self._folder, batch.name)):
            try:
                check_shape(record.get("options"), dict[str, str], "options")
                yield SentRequest(read_reply(record), record["options"])
            except (ShapeError, ValueError) as error:
                raise StoreError(f"The requests of batch {batch.name} are damaged: {error}.") from error


def _requests_path(folder: Path, name: str) -> Path:
    return inner_path(folder, f"{BATCHES}/{name}.jsonl", folder / BATCH_JOURNAL)
