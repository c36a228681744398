"""Batch endpoints of servers: many requests in one file, answered within a day at a lower price.

A model behind such a server has a method `batches()` that returns a BatchService. Everything that it raises
is an AttemptError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mmdbench.models.failures import AttemptError
from mmdbench.records import Outcome, Request

__all__ = ["BatchRow", "BatchService", "BatchState"]

_ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True, slots=True)
class BatchState:
    """A batch as the server describes it.

    Of `total` requests `completed` are answered and `failed`; `files` are the ids of the files with rows, and
    `problem` the server's words about a batch that it refused.
    """

    id: str
    status: str
    total: int = 0
    completed: int = 0
    failed: int = 0
    files: tuple[str, ...] = ()
    problem: str = ""

    @property
    def has_ended(self) -> bool:
        """True if the server works on it no more."""
        return self.status in _ENDED

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"batch {self.id}: {self.status}, {self.completed} of {self.total} answered{failed}"


@dataclass(frozen=True, slots=True)
class BatchRow:
    """The result of one request of a batch; None if the batch ended before the request was sent."""

    key: str
    result: Outcome | AttemptError | None


class BatchService(Protocol):
    """The batch endpoint of one server."""

    async def check(self) -> None:
        """Raise AttemptError if the server has no batch endpoint, or the key may not use it."""
        ...

    def line(self, request: Request) -> tuple[bytes, Mapping[str, Any]]:
        """A request as a line of a batch file, and details to store with its reply."""
        ...

    async def submit(self, path: Path, name: str) -> BatchState:
        """Upload a file and start its batch, which `find` then knows by its name."""
        ...

    async def find(self, name: str) -> BatchState | None:
        """The batch of that name; None if the server has none."""
        ...

    async def state(self, batch: str) -> BatchState:
        """The batch with that id."""
        ...

    async def rows(self, state: BatchState) -> Sequence[BatchRow]:
        """The rows of a batch's files, those with errors last; lines that are no row are left out."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
