"""Dispatcher of one run's requests to processes of this machine."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from mmdbench.errors import MmdbenchError
from mmdbench.records import Reply
from mmdbench.run.budget import INTERRUPTED
from mmdbench.run.engines.local_pool import LocalPool, LocalWorker
from mmdbench.run.engines.pool import Workload
from mmdbench.run.engines.worker import MAX_EXITS_PER_REQUEST, exit_reply, with_images
from mmdbench.run.plan import Planned
from mmdbench.run.replies import image_error_reply

__all__ = ["LocalDispatcher"]


class LocalDispatcher:
    """State of one dispatch: the queue of requests, and the exits that each of them has seen.

    A worker holds up to two batches. There is no barrier: each worker gets requests as soon as it has
    room, and queued ones are recalled from a slow worker when another is idle. A request that was in
    flight when its worker exited is asked alone afterwards, so that one which makes workers exit is
    found and takes no others with it.
    """

    def __init__(self, pool: LocalPool, workload: Workload) -> None:
        self._pool = pool
        self._workers = pool.workers
        self._queue = deque(workload.todo)
        self._spending, self._keep, self._notify = workload.spending, workload.keep, workload.notify
        self._exits: Counter[str] = Counter()
        self._fatal: MmdbenchError | None = None
        self._recalled = False

    def run(self) -> None:
        """Assign requests and store replies until none is left, or none may start and none is in flight."""
        while True:
            if self._urgent and not self._recalled:
                self._recalled = True
                for worker in self._workers:
                    worker.send("recall")
            # The idle one first: a recalled request must not go back to the slow one.
            for worker in sorted(self._workers, key=lambda worker: len(worker.assigned)):
                self._assign(worker)
            if not any(worker.assigned for worker in self._workers) and (self._ending or not self._queue):
                break
            self._rebalance()
            try:
                self._handle_next_message()
            except MmdbenchError as error:  # the other workers finish the requests in flight
                self._fatal = self._fatal or error
        if self._fatal is not None:
            raise self._fatal

    def _handle_next_message(self) -> None:
        worker, message = self._pool.next_message()
        if worker is None:
            self._spending.check_time()
        elif message is None:
            self._on_exit(worker)
        else:
            self._on_message(worker, *message)

    @property
    def _ending(self) -> bool:
        """True if no further request may start."""
        return bool(self._spending.reason) or self._fatal is not None

    @property
    def _urgent(self) -> bool:
        """True if requests that workers hold and have not started are dropped, too."""
        return self._fatal is not None or self._spending.reason == INTERRUPTED

    def _assign(self, worker: LocalWorker) -> None:
        if worker.facts is None or worker.recalling:
            return
        while self._queue and not self._ending and len(worker.assigned) < 2 * worker.facts.batch_size:
            if not self._spending.start():
                return
            planned = self._queue.popleft()
            try:
                (request,) = with_images([planned])
            except MmdbenchError as error:
                self._keep(image_error_reply(planned, error))
                continue
            worker.assigned[planned.key] = planned
            worker.send("ask", request, planned.key in self._exits)

    def _rebalance(self) -> None:
        """Recall queued requests from the worker with the most of them, if another worker is idle."""
        if self._queue or self._ending:
            return
        if all(worker.assigned or worker.facts is None for worker in self._workers):
            return
        slow = max(self._workers, key=lambda worker: 0 if worker.recalling else worker.queued)
        if slow.queued and slow.in_flight and not slow.recalling:
            slow.recalling = True
            slow.send("recall")

    def _on_message(self, worker: LocalWorker, kind: str, *rest: Any) -> None:
        if kind == "started":
            worker.in_flight.update(rest[0])
        elif kind == "reply":
            reply: Reply = rest[0]
            worker.assigned.pop(reply.key, None)
            worker.in_flight.discard(reply.key)
            worker.replies += 1
            worker.exits_without_reply = 0
            self._keep(reply)
        elif kind == "recalled":
            worker.recalling = False
            back = [worker.assigned.pop(key) for key in rest[0] if key in worker.assigned]
            self._spending.sent -= len(back)
            self._requeue(back)
        elif kind == "error":
            self._fatal = self._fatal or rest[0]
            worker.clear()

    def _on_exit(self, worker: LocalWorker) -> None:
        in_flight, assigned = set(worker.in_flight), list(worker.assigned.values())
        worker.clear()
        if self._fatal is not None:
            return
        reason = self._pool.restart(worker)
        self._spending.sent -= sum(planned.key not in in_flight for planned in assigned)
        self._notify(
            f"worker {worker.number} exited ({reason}) and was restarted; its requests are asked again"
        )
        back = []
        for planned in assigned:
            if planned.key in in_flight:
                self._exits[planned.key] += 1
                if self._exits[planned.key] >= MAX_EXITS_PER_REQUEST:
                    worker.exits_without_reply = 0  # the request was the cause
                    self._keep(exit_reply(planned, reason))
                    continue
            back.append(planned)
        self._requeue(back)

    def _requeue(self, requests: Sequence[Planned]) -> None:
        self._queue.extendleft(reversed(requests))
