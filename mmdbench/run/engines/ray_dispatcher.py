"""Dispatcher of one run's requests to a Ray cluster.

Variants are made by tasks, ahead of the workers and in a bounded number; the parts that are made first
are asked first, so that a slow picture holds up no other. A worker has at most two parts, and only one
when few are left, so that no part waits behind a slow one while another worker is free.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from mmdbench.errors import MmdbenchError, ModelError
from mmdbench.run.budget import INTERRUPTED
from mmdbench.run.engines.pool import Workload
from mmdbench.run.engines.ray_actor import AskResult
from mmdbench.run.engines.ray_pool import RayPool, RayWorker
from mmdbench.run.engines.worker import MAX_EXITS_PER_REQUEST, exit_reply, with_images
from mmdbench.run.plan import Planned
from mmdbench.run.replies import image_error_reply

__all__ = ["RayDispatcher"]

_TOGETHER = 4
_SILENCE_SECONDS = 60.0


class RayDispatcher:
    """State of one dispatch: the queue of parts, the parts being made, and the exits of each request."""

    def __init__(self, pool: RayPool, workload: Workload) -> None:
        self._pool, todo = pool, workload.todo
        self._spending, self._keep, self._notify = workload.spending, workload.keep, workload.notify
        # With a model that is asked singly, variants of one question are still made by one task: its image
        # is sent and decoded once.
        size = pool.batch_size if pool.batch_size > 1 else _TOGETHER
        self._queue = deque(list(todo[start : start + size]) for start in range(0, len(todo), size))
        self._counted: set[str] = set()
        self._exits: Counter[str] = Counter()
        self._making: dict[Any, list[Planned]] = {}
        self._made: deque[tuple[Any, list[Planned]]] = deque()
        self._fatal: MmdbenchError | None = None
        self._last_result = time.monotonic()

    def run(self) -> None:
        """Assign parts and store replies until none is left, or none may start and none is in flight."""
        while True:
            self._spending.check_time()
            if self._urgent:
                self._drop_what_no_worker_has()
            self._start_making()
            self._assign()
            if not self._in_flight and (self._ending or not self._queue):
                break
            try:
                self._handle_results()
            except MmdbenchError as error:  # the other workers finish the requests in flight
                self._fatal = self._fatal or error
        if self._fatal is not None:
            raise self._fatal

    @property
    def _ending(self) -> bool:
        """True if no further request may start."""
        return bool(self._spending.reason) or self._fatal is not None

    @property
    def _urgent(self) -> bool:
        """True if requests that no worker has yet are dropped."""
        late = self._spending.seconds_left() == 0
        return self._fatal is not None or late or self._spending.reason == INTERRUPTED

    @property
    def _in_flight(self) -> bool:
        return bool(self._making or self._made) or any(worker.assigned for worker in self._pool.workers)

    def _drop_what_no_worker_has(self) -> None:
        parts = [*self._making.values(), *(part for _, part in self._made)]
        # One whose worker exited was sent before.
        self._spending.sent -= sum(planned.key not in self._exits for part in parts for planned in part)
        self._making, self._made = {}, deque()

    def _start_making(self) -> None:
        ahead = 2 * len(self._pool.workers) + 2
        while self._queue and not self._ending and len(self._making) + len(self._made) < ahead:
            part = [planned for planned in self._queue.popleft() if self._may_start(planned)]
            whole = self._with_images(part)
            if whole:
                keys = {planned.key for planned in whole}
                ref = self._pool.make.remote(whole, self._pool.wanted)
                self._making[ref] = [planned for planned in part if planned.key in keys]

    def _may_start(self, planned: Planned) -> bool:
        if planned.key in self._counted:  # it was requeued after an exit, and counts as sent already
            return True
        if not self._spending.start():
            return False
        self._counted.add(planned.key)
        return True

    def _with_images(self, part: Sequence[Planned]) -> list[Planned]:
        try:
            return with_images(part)
        except MmdbenchError as error:
            if len(part) == 1:
                self._keep(image_error_reply(part[0], error))
                return []
            return [whole for planned in part for whole in self._with_images([planned])]

    def _assign(self) -> None:
        """Give made parts to the workers with the fewest."""
        while self._made:
            free = [w for w in self._pool.workers if w.ready and len(w.assigned) < self._most(w)]
            if not free:
                return
            worker = min(free, key=lambda worker: (len(worker.assigned), worker.replies))
            _, part = self._made[0]
            if self._suspect(part) and worker.assigned:
                return
            ref, part = self._made.popleft()
            worker.assigned[worker.actor.ask.remote(ref)] = part

    def _most(self, worker: RayWorker) -> int:
        if any(map(self._suspect, worker.assigned.values())):
            return 1
        few = len(self._queue) + len(self._making) + len(self._made) <= len(self._pool.workers)
        return 1 if few else 2

    def _suspect(self, part: Sequence[Planned]) -> bool:
        """True if a worker exited with this request in flight; it is then asked alone."""
        return len(part) == 1 and part[0].key in self._exits

    def _handle_results(self) -> None:
        pool = self._pool
        owners = {ref: worker for worker in pool.workers for ref in worker.assigned}
        done = pool.wait([*owners, *self._making, *pool.opening])
        self._notify_of_silence(bool(done))
        opened = []
        for ref in done:
            if ref in self._making:
                self._made.append((ref, self._making.pop(ref)))
            elif ref in owners:
                if ref in owners[ref].assigned:
                    self._on_result(owners[ref], ref)
            else:
                opened.append(ref)
        pool.on_opened(opened)

    def _on_result(self, worker: RayWorker, ref: Any) -> None:
        errors = self._pool.ray.exceptions
        try:
            result: AskResult = self._pool.ray.get(ref)
        except errors.RayTaskError as error:  # first: it is an instance of its cause's class, too
            part = worker.assigned.pop(ref)
            if isinstance(error.cause, errors.RayError):  # the task that made the variants failed every time
                self._requeue(part, str(error.cause), suspect=True)
            else:
                self._fatal = self._fatal or ModelError(f"Worker {worker.number} failed: {error}")
        except self._pool.exit_errors as error:
            self._on_exit(worker, error)
        except errors.RayError as error:
            # Not the worker but the task that made the variants exited, or lost them.
            self._requeue(worker.assigned.pop(ref), str(error), suspect=True)
        else:
            self._store(worker, worker.assigned.pop(ref), result)

    def _store(self, worker: RayWorker, part: Sequence[Planned], result: AskResult) -> None:
        if result.printed:
            worker.note(result.printed)
        for reply in result.replies:
            worker.replies += 1
            worker.exits_without_reply = 0
            self._keep(reply)
        if result.error is not None:
            worker.note(f"stopped: {result.error}")
            self._fatal = self._fatal or result.error
            return
        missing = {planned.key for planned in part} - {reply.key for reply in result.replies}
        assert not missing, missing

    def _on_exit(self, worker: RayWorker, error: Exception) -> None:
        ray = self._pool.ray
        assigned, worker.assigned = worker.assigned, {}
        parts = []
        for ref, part in assigned.items():  # a part that was answered before the exit is not asked again
            try:
                self._store(worker, part, ray.get(ref, timeout=0))
            except ray.exceptions.RayError:
                parts.append(part)
        if parts and any(self._exits[planned.key] + 1 >= MAX_EXITS_PER_REQUEST for planned in parts[0]):
            worker.exits_without_reply = 0  # the request is the cause, and is not asked again
        node_gone = self._pool.restart(worker, error)
        self._notify(f"worker {worker.number} exited and is being restarted; its requests are asked again")
        for number, part in reversed(list(enumerate(parts))):
            self._requeue(part, "its worker exited", suspect=number == 0 and not node_gone)

    def _requeue(self, part: Sequence[Planned], reason: str, *, suspect: bool) -> None:
        """Put requests back in front; suspect ones alone, and no more often than the bound."""
        if not suspect:
            self._queue.appendleft(list(part))
            return
        for planned in reversed(part):
            self._exits[planned.key] += 1
            if self._exits[planned.key] >= MAX_EXITS_PER_REQUEST:
                self._keep(exit_reply(planned, " ".join(reason.split())[:200]))
            else:
                self._queue.appendleft([planned])

    def _notify_of_silence(self, any_result: bool) -> None:
        now = time.monotonic()
        if any_result:
            self._last_result = now
        elif now - self._last_result > _SILENCE_SECONDS:
            self._last_result = now
            workers = self._pool.workers
            waiting = sum(not worker.ready for worker in workers)
            self._notify(f"no result for a minute; {waiting} of {len(workers)} workers are not ready yet")
