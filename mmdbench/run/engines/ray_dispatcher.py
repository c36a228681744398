"""One run's requests on their way through a Ray cluster, and back.

Variants are made by tasks, ahead of the workers and in a bounded number; whichever are made first
are asked first, so that a slow picture holds nobody up. A worker has at most two parts, and only one
when there are few left, so that none waits behind a slow one while another worker is free.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mmdbench.errors import MmdbenchError, ModelError
from mmdbench.records import Reply
from mmdbench.run.budget import INTERRUPTED, Spending
from mmdbench.run.engines.worker import DEATHS_OF_A_REQUEST, died, packed
from mmdbench.run.plan import Planned
from mmdbench.run.replies import image_error_reply

if TYPE_CHECKING:
    from mmdbench.run.engines.ray_pool import RayCrew, RayHand
    from mmdbench.run.engines.ray_worker import Answered

__all__ = ["RayShift"]

_TOGETHER = 4
_SILENCE = 60.0


class RayShift:
    """One call of `carry_out`: what is to be given out, what is being made, and who was given what."""

    def __init__(
        self,
        crew: RayCrew,
        todo: Sequence[Planned],
        spending: Spending,
        keep: Callable[[Reply], None],
        tell: Callable[[str], None],
    ) -> None:
        self._crew, self._spending, self._keep, self._tell = crew, spending, keep, tell
        # With a model that is asked singly, variants of one question are still made by one task: its image
        # is sent and decoded once.
        size = crew.batch_size if crew.batch_size > 1 else _TOGETHER
        self._rest = deque(list(todo[start : start + size]) for start in range(0, len(todo), size))
        self._started: set[str] = set()
        self._deaths: Counter[str] = Counter()
        self._making: dict[Any, list[Planned]] = {}
        self._made: deque[tuple[Any, list[Planned]]] = deque()
        self._fatal: MmdbenchError | None = None
        self._heard = time.monotonic()

    def work(self) -> None:
        """Give out and take in until nothing is left, or nothing more may start and nothing is under way."""
        while True:
            self._spending.check_time()
            if self._urgent:
                self._making, self._made = {}, deque()
            self._start_making()
            self._give_out()
            if not self._under_way and (self._over or not self._rest):
                break
            try:
                self._take_in()
            except MmdbenchError as error:  # the other workers finish what they are answering
                self._fatal = self._fatal or error
        if self._fatal is not None:
            raise self._fatal

    @property
    def _over(self) -> bool:
        return bool(self._spending.reason) or self._fatal is not None

    @property
    def _urgent(self) -> bool:
        """Whether what is not asked yet is left, though it was counted."""
        late = self._spending.seconds_left() == 0
        return self._fatal is not None or late or self._spending.reason == INTERRUPTED

    @property
    def _under_way(self) -> bool:
        return bool(self._making or self._made) or any(hand.given for hand in self._crew.hands)

    def _start_making(self) -> None:
        ahead = 2 * len(self._crew.hands) + 2
        while self._rest and not self._over and len(self._making) + len(self._made) < ahead:
            part = [planned for planned in self._rest.popleft() if self._may_start(planned)]
            whole = self._packed(part)
            if whole:
                keys = {planned.key for planned in whole}
                ref = self._crew.make.remote(whole, self._crew.wanted)
                self._making[ref] = [planned for planned in part if planned.key in keys]

    def _may_start(self, planned: Planned) -> bool:
        if planned.key in self._started:  # it comes back from a worker that died, and is counted already
            return True
        if not self._spending.start():
            return False
        self._started.add(planned.key)
        return True

    def _packed(self, part: Sequence[Planned]) -> list[Planned]:
        try:
            return packed(part)
        except MmdbenchError as error:
            if len(part) == 1:
                self._keep(image_error_reply(part[0], error))
                return []
            return [whole for planned in part for whole in self._packed([planned])]

    def _give_out(self) -> None:
        """Hand made parts to the workers with the fewest."""
        while self._made:
            free = [hand for hand in self._crew.hands if hand.ready and len(hand.given) < self._most(hand)]
            if not free:
                return
            hand = min(free, key=lambda hand: (len(hand.given), hand.replies))
            _, part = self._made[0]
            if self._suspect(part) and hand.given:
                return
            ref, part = self._made.popleft()
            hand.given[hand.actor.ask.remote(ref)] = part

    def _most(self, hand: RayHand) -> int:
        if any(map(self._suspect, hand.given.values())):
            return 1
        few = len(self._rest) + len(self._making) + len(self._made) <= len(self._crew.hands)
        return 1 if few else 2

    def _suspect(self, part: Sequence[Planned]) -> bool:
        """Whether a request was in the hands of a worker that died; it is asked alone then."""
        return len(part) == 1 and part[0].key in self._deaths

    def _take_in(self) -> None:
        crew = self._crew
        owners = {ref: hand for hand in crew.hands for ref in hand.given}
        done = crew.wait([*owners, *self._making, *crew.opening])
        self._tell_of_silence(bool(done))
        opened = []
        for ref in done:
            if ref in self._making:
                self._made.append((ref, self._making.pop(ref)))
            elif ref in owners:
                if ref in owners[ref].given:
                    self._hear(owners[ref], ref)
            else:
                opened.append(ref)
        crew.take_opened(opened)

    def _hear(self, hand: RayHand, ref: Any) -> None:
        errors = self._crew.ray.exceptions
        try:
            answered: Answered = self._crew.ray.get(ref)
        except errors.RayTaskError as error:  # first: it is of its cause's class too
            part = hand.given.pop(ref)
            if isinstance(error.cause, errors.RayError):  # what made the variants went down every time
                self._give_back(part, str(error.cause), to_blame=True)
            else:
                self._fatal = self._fatal or ModelError(f"Worker {hand.number} failed: {error}")
        except self._crew.deaths as error:
            self._mourn(hand, error)
        except errors.RayError as error:
            # Not the worker but what made the variants went down, or took them along.
            self._give_back(hand.given.pop(ref), str(error), to_blame=True)
        else:
            self._take(hand, hand.given.pop(ref), answered)

    def _take(self, hand: RayHand, part: Sequence[Planned], answered: Answered) -> None:
        if answered.printed:
            hand.note(answered.printed)
        for reply in answered.replies:
            hand.replies += 1
            hand.fruitless = 0
            self._keep(reply)
        if answered.error is not None:
            hand.note(f"stopped: {answered.error}")
            self._fatal = self._fatal or answered.error
            return
        missing = {planned.key for planned in part} - {reply.key for reply in answered.replies}
        assert not missing, missing

    def _mourn(self, hand: RayHand, error: Exception) -> None:
        ray = self._crew.ray
        given, hand.given = hand.given, {}
        parts = []
        for ref, part in given.items():  # what it answered before it died is not asked again
            try:
                self._take(hand, part, ray.get(ref, timeout=0))
            except ray.exceptions.RayError:
                parts.append(part)
        if parts and any(self._deaths[planned.key] + 1 >= DEATHS_OF_A_REQUEST for planned in parts[0]):
            hand.fruitless = 0  # the request is to blame, and goes
        node_gone = self._crew.lost(hand, error)
        self._tell(f"worker {hand.number} died and is started again; its requests are asked again")
        for number, part in reversed(list(enumerate(parts))):
            self._give_back(part, "its worker died", to_blame=number == 0 and not node_gone)

    def _give_back(self, part: Sequence[Planned], how: str, *, to_blame: bool) -> None:
        """Put requests back in front; those to blame singly, and never more often than the bound."""
        if not to_blame:
            self._rest.appendleft(list(part))
            return
        for planned in reversed(part):
            self._deaths[planned.key] += 1
            if self._deaths[planned.key] >= DEATHS_OF_A_REQUEST:
                self._keep(died(planned, " ".join(how.split())[:200]))
            else:
                self._rest.appendleft([planned])

    def _tell_of_silence(self, heard: bool) -> None:
        now = time.monotonic()
        if heard:
            self._heard = now
        elif now - self._heard > _SILENCE:
            self._heard = now
            hands = self._crew.hands
            waiting = sum(not hand.ready for hand in hands)
            self._tell(f"nothing came back for a minute; {waiting} of {len(hands)} workers are not there yet")
