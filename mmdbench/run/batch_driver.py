"""Driver for models that are called directly: requests in batches, failed batches in halves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mmdbench.errors import MmdbenchError, ModelError
from mmdbench.models.cards import ModelCard
from mmdbench.models.registry import Model
from mmdbench.records import Outcome, Reply, Variant
from mmdbench.run.plan import Planned
from mmdbench.run.prefetch import Prefetch
from mmdbench.run.replies import image_error_reply, make_reply, make_request
from mmdbench.system.secrets import error_text

__all__ = ["BatchDriver"]

_FAILURES_IN_A_ROW = 5


@dataclass
class BatchDriver:
    """Driver of one model that is called directly, in batches.

    `on_reply` receives every reply; `failures` counts the requests that failed in a row.
    """

    model: Model
    card: ModelCard
    on_reply: Callable[[Reply], None]
    failures: int = field(default=0, init=False)

    @property
    def batch_size(self) -> int:
        """The number of requests that the model takes at once."""
        return max(1, int(getattr(self.model, "batch_size", 1)))

    def run(self, prefetch: Prefetch, may_start: Callable[[], bool]) -> None:
        """Ask batch after batch until every request is taken or `may_start` returns False."""
        size = self.batch_size
        while True:
            batch: list[tuple[Planned, list[Variant]]] = []
            while len(batch) < size and (item := prefetch.take()) and may_start():
                planned, future = item
                try:
                    batch.append((planned, future.result()))
                except MmdbenchError as error:
                    self.on_reply(image_error_reply(planned, error))
            if not batch:
                return
            self.ask(batch)

    def ask(self, batch: Sequence[tuple[Planned, list[Variant]]]) -> None:
        """Ask one batch; a batch that fails is asked again in halves, down to single requests."""
        requests = [make_request(planned, variants, self.card.generation) for planned, variants in batch]
        started = time.monotonic()
        try:
            outcomes = self.model.generate(requests)
        except MmdbenchError:
            raise
        except Exception as error:  # noqa: BLE001 - an adapter is foreign code, and may raise anything
            self._failed(batch, error)
            return
        if len(outcomes) != len(requests):
            raise ModelError(
                f"The model {self.card.name!r} gave {len(outcomes)} outcomes for {len(requests)} requests."
            )
        self.failures = 0
        seconds = (time.monotonic() - started) / len(requests)
        for (planned, variants), outcome in zip(batch, outcomes, strict=True):
            self.on_reply(make_reply(planned, variants, outcome, seconds))

    def _failed(self, batch: Sequence[tuple[Planned, list[Variant]]], error: Exception) -> None:
        if len(batch) > 1:  # one request may be to blame, or their number
            half = len(batch) // 2
            self.ask(batch[:half])
            self.ask(batch[half:])
            return
        reason = error_text(error)
        self.failures += 1
        if self.failures >= _FAILURES_IN_A_ROW:
            raise ModelError(
                f"The model {self.card.name!r} failed {self.failures} times in a row: {reason}.",
                hint="Every reply so far is stored; fix the model and run the same command again.",
            ) from error
        planned, variants = batch[0]
        self.on_reply(make_reply(planned, variants, Outcome("", "error", reason)))
