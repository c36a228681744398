"""Pools of workers that each hold the model: what both engines have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mmdbench.errors import ModelError
from mmdbench.records import Question, Reply
from mmdbench.run.budget import Spending
from mmdbench.run.plan import Planned

__all__ = ["MAX_EXITS_WITHOUT_REPLY", "ModelFacts", "PoolWorker", "WorkerPool", "Workload"]

MAX_EXITS_WITHOUT_REPLY = 5
"""Exits of a worker in a row, without a reply between them, that end the run."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The facts about an opened model that planning needs.

    `batch_size` is the number of requests that it takes at once; `rewords` is True if it has prompts
    of its own.
    """

    fingerprint: Mapping[str, Any]
    batch_size: int
    rewords: bool


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests for a pool, in order, and the budget that they are sent under.

    `keep` is called in this process, once for each reply; `notify` with messages for the user.
    """

    todo: Sequence[Planned]
    spending: Spending
    keep: Callable[[Reply], None]
    notify: Callable[[str], None]


@dataclass
class PoolWorker:
    """A worker of a pool: its number from 1, its log in the run's folder, and counts."""

    number: int
    log: Path
    replies: int = 0
    exits_without_reply: int = 0


class WorkerPool(ABC):
    """Workers that each hold the model; takes the model's place where a run is planned."""

    engine: ClassVar[str]
    workers: Sequence[PoolWorker]

    def __init__(self) -> None:
        self._facts: ModelFacts | None = None
        self._restarts = 0

    @property
    def facts(self) -> ModelFacts:
        """The facts about the model, known once a worker has opened it."""
        assert self._facts is not None
        return self._facts

    @property
    def batch_size(self) -> int:
        """The number of requests that a worker's model takes at once."""
        return self.facts.batch_size

    def fingerprint(self) -> dict[str, Any]:
        """The fingerprint of the model; it is the same in every worker."""
        return dict(self.facts.fingerprint)

    @abstractmethod
    def prompt(self, question: Question, default: str) -> str:
        """The prompt as the model words it; `default` if it has none of its own."""

    @abstractmethod
    def close(self) -> None:
        """Stop the workers."""

    def report(self) -> dict[str, Any]:
        """The engine, the replies of each worker and the number of restarts, for a run's manifest."""
        replies = {str(worker.number): worker.replies for worker in self.workers}
        return {"engine": self.engine, "replies": replies, "restarts": self._restarts}

    def _check_exits(self, worker: PoolWorker, reason: str, hint: str) -> None:
        """Raise ModelError if a worker exited too often without a reply."""
        if worker.exits_without_reply >= MAX_EXITS_WITHOUT_REPLY:
            raise ModelError(
                f"Worker {worker.number} exited {worker.exits_without_reply} times before it answered "
                f"anything{reason}",
                hint=hint,
            )

    def _check_facts(self, facts: ModelFacts, worker: str, hint: str) -> None:
        """Keep the facts of the first worker; raise ModelError if another one opened another model."""
        if self._facts is None:
            self._facts = facts
        if facts.fingerprint != self._facts.fingerprint:
            raise ModelError(
                f"{worker} opened another model than the others: their fingerprints differ.", hint=hint
            )
