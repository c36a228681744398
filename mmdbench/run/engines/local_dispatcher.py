"""One run's requests among the processes of this machine: who holds what, and what comes next."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mmdbench.errors import MmdbenchError
from mmdbench.records import Reply
from mmdbench.run.budget import INTERRUPTED, Spending
from mmdbench.run.engines.worker import DEATHS_OF_A_REQUEST, died, packed
from mmdbench.run.plan import Planned
from mmdbench.run.replies import image_error_reply

if TYPE_CHECKING:
    from mmdbench.run.engines.local_pool import Hand, LocalCrew

__all__ = ["Shift"]


class Shift:
    """One call of `carry_out`: who holds what, and what is still to be given out."""

    def __init__(
        self,
        crew: LocalCrew,
        todo: Sequence[Planned],
        spending: Spending,
        keep: Callable[[Reply], None],
        tell: Callable[[str], None],
    ) -> None:
        self._crew = crew
        self._hands = crew.hands
        self._rest = deque(todo)
        self._spending, self._keep, self._tell = spending, keep, tell
        self._deaths: Counter[str] = Counter()
        self._fatal: MmdbenchError | None = None
        self._stopping = False

    def work(self) -> None:
        """Give out and take in until nothing is left, or nothing more may start and nothing is under way."""
        while True:
            if self._urgent and not self._stopping:
                self._stopping = True
                for hand in self._hands:
                    hand.send("return")
            for hand in sorted(self._hands, key=lambda hand: len(hand.held)):
                self._feed(hand)  # who has least first: what was taken from a slow one must not go back to it
            if not any(hand.held for hand in self._hands) and (self._over or not self._rest):
                break
            self._take_back()
            try:
                self._take_news()
            except MmdbenchError as error:  # the others finish what they are asking
                self._fatal = self._fatal or error
        if self._fatal is not None:
            raise self._fatal

    def _take_news(self) -> None:
        hand, message = self._crew.next()
        if hand is None:
            self._spending.check_time()
        elif message is None:
            self._mourn(hand)
        else:
            self._hear(hand, *message)

    @property
    def _over(self) -> bool:
        return bool(self._spending.reason) or self._fatal is not None

    @property
    def _urgent(self) -> bool:
        """Whether even what workers hold and have not begun is to be left."""
        return self._fatal is not None or self._spending.reason == INTERRUPTED

    def _feed(self, hand: Hand) -> None:
        if hand.facts is None or hand.asked_back:
            return
        while self._rest and not self._over and len(hand.held) < 2 * hand.facts.batch_size:
            if not self._spending.start():
                return
            planned = self._rest.popleft()
            try:
                (whole,) = packed([planned])
            except MmdbenchError as error:
                self._keep(image_error_reply(planned, error))
                continue
            hand.held[planned.key] = planned
            hand.send("ask", whole, planned.key in self._deaths)

    def _take_back(self) -> None:
        """Ask the slowest worker to return what it has not begun, where another has nothing to do."""
        if self._rest or self._over:
            return
        if all(hand.held or hand.facts is None for hand in self._hands):
            return
        slow = max(self._hands, key=lambda hand: 0 if hand.asked_back else hand.waiting)
        if slow.waiting and slow.asking and not slow.asked_back:
            slow.asked_back = True
            slow.send("return")

    def _hear(self, hand: Hand, kind: str, *rest: Any) -> None:
        if kind == "asking":
            hand.asking.update(rest[0])
        elif kind == "reply":
            reply: Reply = rest[0]
            hand.held.pop(reply.key, None)
            hand.asking.discard(reply.key)
            hand.replies += 1
            hand.fruitless = 0
            self._keep(reply)
        elif kind == "returned":
            hand.asked_back = False
            back = [hand.held.pop(key) for key in rest[0] if key in hand.held]
            self._spending.sent -= len(back)
            self._give_back(back)
        elif kind == "error":
            self._fatal = self._fatal or rest[0]
            hand.held, hand.asking, hand.facts = {}, set(), None

    def _mourn(self, hand: Hand) -> None:
        if self._fatal is not None:
            hand.held, hand.asking, hand.facts = {}, set(), None
            return
        asking, held = set(hand.asking), list(hand.held.values())
        hand.held, hand.asking, hand.facts = {}, set(), None
        how = self._crew.bury(hand)
        self._spending.sent -= sum(planned.key not in asking for planned in held)
        self._tell(f"worker {hand.number} died ({how}) and was started again; its requests are asked again")
        back = []
        for planned in held:
            if planned.key in asking:
                self._deaths[planned.key] += 1
                if self._deaths[planned.key] >= DEATHS_OF_A_REQUEST:
                    hand.fruitless = 0  # the request was to blame
                    self._keep(died(planned, how))
                    continue
            back.append(planned)
        self._give_back(back)

    def _give_back(self, requests: Sequence[Planned]) -> None:
        self._rest.extendleft(reversed(requests))
