"""The canary of a run: before its first request, between its requests, and after the last one.

A cache with short keys confuses pictures only when it holds many of them, and a server may begin to answer
wrongly at any time. So late probes are spread evenly over the run, and some come at its end. They follow only
if the model has read all digits before. A late answer stops the run if it is the digits of another probe, or
if it is not its own digits, nor nearly these, twice in a row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, TypeVar

from mmdbench.errors import ModelError
from mmdbench.models.cards import ModelCard
from mmdbench.models.registry import AsyncModel, is_async
from mmdbench.records import Outcome, Reply, Request
from mmdbench.run.budget import INTERRUPTED, Budget, Spending
from mmdbench.run.canary import (
    ROUND,
    CanaryResult,
    Probe,
    ProbeResult,
    draw_numbers,
    draw_seed,
    is_misread,
    judge_probe,
    number_probe,
    probe_request,
)
from mmdbench.run.canary_news import is_news
from mmdbench.run.canary_share import CanaryShare, canary_share, earlier_checks, is_settled
from mmdbench.run.generations import read_generation, time_stamp
from mmdbench.run.inputs import RunInputs
from mmdbench.run.preflight import ask_probes, canary_of
from mmdbench.stats import FOUND_ABOVE, key_bits_found
from mmdbench.system.digest import value_digest

__all__ = ["CanaryWatch", "watching"]

T = TypeVar("T")


def _now() -> str:
    return time_stamp(datetime.now(timezone.utc))


@dataclass
class _Late:
    """A late probe: the number of pictures shown before it, and its first answer if that was wrong."""

    probe: Probe
    pictures: int
    wrong: str | None = None


@dataclass
class _Check:
    """The probes that were asked at one moment of a run: `before`, `during` or `after` its requests."""

    moment: str
    seed: int
    at: str = field(default_factory=_now)
    probes: list[ProbeResult] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return "caught" if any(probe.verdict == "other" for probe in self.probes) else "passed"


@dataclass
class CanaryWatch:
    """The canary of one call of a run, for a model behind a server.

    Attributes:
        model: The model.
        card: Its model card.
        share: The numbers of requests.
        fingerprint: The digest of the model's fingerprint.
        to_ask: The number of the call's own requests.
        spending: The spending of the run, which pays for the canary and is stopped by it.
        earlier: The canary's record in the manifest of earlier calls.
        generation: The number of the replies' generation.
        caught: The sentence on a late answer from another picture; empty if there was none.
    """

    model: AsyncModel
    card: ModelCard
    share: CanaryShare
    fingerprint: str
    to_ask: int
    spending: Spending
    earlier: Mapping[str, Any] = field(default_factory=dict)
    generation: int = 0
    caught: str = field(default="", init=False)

    def __post_init__(self) -> None:
        known = self.earlier if is_settled(self.earlier, self.fingerprint) else {}
        self._verdict, self._said = str(known.get("verdict", "")), str(known.get("said", ""))
        self._bits_before = int(known.get("key_bits", 0))
        self._checks: list[_Check] = []
        self._numbers: deque[str] = deque()
        self._used: set[str] = set()
        self._again: deque[_Late] = deque()
        self._in_flight: dict[str, _Late] = {}
        self._shown: set[int] = set()
        self._replies = self._asked = 0
        self._good = _now()

    def before(self) -> str:
        """Ask the first probes.

        Returns:
            The line for the user; empty if there is nothing to say yet.

        Raises:
            ModelError: An answer came from another picture, or the model cannot be asked.
        """
        if self.share.before:
            begun, paid = _now(), self.spending.usd
            found = self._apart(self._first_round)
            # Its first request may have taught which settings the server takes.
            self.fingerprint = value_digest(dict(self.model.fingerprint()))
            self.spending.held = (self.spending.usd - paid) / self.share.before * self.share.after
            self._checks.append(_Check("before", found.seed, begun, list(found.probes)))
            self._verdict, self._said, self._good = found.verdict, found.summary, begun
            self._used |= {probe.shows for probe in found.probes}
            self._asked = len(found.probes)
            self._refuse(found)
        if self._verdict == "passed":
            self._begin("during", self.share.during)
        if self._verdict == "passed" or not self.share.before:
            return ""
        return self._line(self._said, "unclear, as before")

    def replied(self, reply: Reply) -> None:
        """Count a reply of the run and the pictures that it is about."""
        self._replies += 1
        if reply.status != "error":
            self._shown.update(int(str(image["pixels"])[:15], 16) for image in reply.images)

    def take(self) -> Request | None:
        """The next probe to ask between the requests of the run; None if none is due."""
        if self._again:
            return self._request(self._again.popleft())
        during = self.share.during
        due = min(during, self._replies * (during + 1) // max(1, self.to_ask))
        return self._request(self._next()) if self._numbers and during - len(self._numbers) < due else None

    def see(self, request: Request, outcome: Outcome) -> None:
        """Judge the answer to a probe that `take` gave; stops the run if it is from another picture."""
        if self._judge(request, outcome) == "own":
            self._good = _now()

    def after(self) -> None:
        """Ask the last probes, when the run has ended or was stopped cleanly."""
        self.spending.held = 0.0
        if self.caught or self._verdict != "passed" or not self.share.total:
            return
        self._begin("after", self.share.after)
        late = [*self._again, *(self._next() for _ in range(len(self._numbers)))]
        while late and not self.caught:
            self._again.clear()
            requests = [self._request(one) for one in late]
            outcomes = self._apart(lambda apart: ask_probes(self.model, self.card, requests, apart))  # noqa: B023
            for request, outcome in zip(requests, outcomes, strict=True):
                self._judge(request, outcome)
            late = list(self._again)

    def line(self) -> str:
        """The result for the user: once a week in full, else in short; empty if the canary did not pass."""
        if self._verdict != "passed" or self.caught or not self.share.before:
            return ""
        return self._line(self._summary(), f"passed, keys to {self._bits()} bits")

    def require_passed(self) -> None:
        """Raise ModelError if a late answer came from another picture."""
        if self.caught:
            raise ModelError(
                f"The model {self.card.name!r} cannot be measured: {self.caught}.",
                hint=f"All replies are kept; those since {self._good} are suspect, and reports say so. Turn "
                "off the server's caches of pictures and prefixes, then ask anew with --fresh. --no-canary "
                "skips this check.",
            )

    def record(self) -> dict[str, Any]:
        """The record for the manifest, of this call and of earlier ones; empty if nothing was checked."""
        suspects = [dict(one) for one in self.earlier.get("suspects", ())]
        if self.caught:
            suspects.append({"since": self._good, "until": _now(), "said": self.caught})
        made = [
            asdict(check)
            | {"verdict": self._verdict if check.moment == "before" else check.verdict}
            | ({"generation": self.generation} if self.generation else {})
            for check in self._checks
            if check.probes
        ]
        if not made:
            return dict(self.earlier)
        return {
            "fingerprint": self.fingerprint,
            "verdict": "caught" if self.caught else self._verdict,
            "said": self.caught or (self._summary() if self._verdict == "passed" else self._said),
            "key_bits": max(self._bits_before, self._bits()),
            "checks": [*map(dict, earlier_checks(self.earlier)), *made],
            **({"suspects": suspects} if suspects else {}),
        }

    def _line(self, full: str, short: str) -> str:
        return f"canary: {full if is_news(self.fingerprint, self._verdict) else short}"

    def _first_round(self, apart: Spending) -> CanaryResult:
        return canary_of(self.model, self.card, apart, self.share.before // ROUND)

    def _refuse(self, found: CanaryResult) -> None:
        if found.verdict == "caught":
            raise ModelError(
                f"The model {self.card.name!r} cannot be measured: {found.summary}.",
                hint="Turn off the server's caches of pictures and prefixes; see each answer with "
                f"mmdbench doctor --model {self.card.name}. --no-canary skips this check, and records that.",
            )
        if found.verdict == "failed":
            raise ModelError(f"The model {self.card.name!r} cannot be asked: {found.summary}.")

    def _apart(self, ask: Callable[[Spending], T]) -> T:
        """Ask with a spending of its own, so that a small budget does not cut it short; the run pays."""
        apart = Spending(Budget())
        try:
            return ask(apart)
        finally:
            self.spending.usd += apart.usd

    def _begin(self, moment: str, count: int) -> None:
        """Begin a check and draw its numbers."""
        check = _Check(moment, draw_seed())
        self._checks.append(check)
        self._numbers = deque(draw_numbers(check.seed, count, self._used))

    def _next(self) -> _Late:
        number = self._numbers.popleft()
        late = _Late(number_probe(number, self._checks[-1].seed + len(self._numbers)), self._pictures)
        self._used.add(number)
        self._asked += 1
        return late

    @property
    def _pictures(self) -> int:
        return len(self._shown) + self._asked

    def _request(self, late: _Late) -> Request:
        moment = "first" if late.wrong is None else "again"
        request = probe_request(late.probe, f"{self._checks[-1].seed}, {moment}", self.card.generation)
        self._in_flight[request.key] = late
        return request

    def _judge(self, request: Request, outcome: Outcome) -> str:
        """The verdict on a late answer; empty if it is asked again."""
        late = self._in_flight.pop(request.key)
        shows, verdict = late.probe.shows, judge_probe(late.probe.shows, outcome, self._used)
        if verdict == "unread" and outcome.status == "ok" and not is_misread(shows, outcome.text):
            if late.wrong is None:
                late.wrong = outcome.text
                self._again.append(late)
                return ""
            verdict = "other"
        elif verdict == "own" and late.wrong is not None:
            verdict = "unread"
        reply = outcome.reason if verdict == "failed" else late.wrong or outcome.text
        result = ProbeResult(late.probe.name, shows, verdict, reply, late.pictures)
        self._checks[-1].probes.append(result)
        if verdict == "other" and not self.caught:
            shown = f"{result.name} after {late.pictures:,} pictures shows {shows} and got {reply[:40]!r}"
            self.caught = f"an answer came from another picture: {shown}"
            self.spending.stop(self.caught)
        return verdict

    def _own(self) -> list[ProbeResult]:
        return [probe for check in self._checks for probe in check.probes if probe.verdict == "own"]

    def _bits(self) -> int:
        return key_bits_found(probe.pictures for probe in self._own())

    def _summary(self) -> str:
        asked, own = sum(len(check.probes) for check in self._checks), len(self._own())
        rest = f", {asked - own} were not read" if own < asked else ""
        bits = self._bits()
        found = (
            f"a cache with keys of {bits} bits or fewer would have been found with probability "
            f"> {FOUND_ABOVE}"
            if bits
            else "too few pictures to find a cache with short keys"
        )
        return f"{own} of {asked} answers came from their own pictures{rest}; {found}"


@contextmanager
def watching(
    inputs: RunInputs,
    manifest: dict[str, Any],
    counts: tuple[int, int],
    spending: Spending,
    on_note: Callable[[str], None],
) -> Iterator[CanaryWatch | None]:
    """Check a model behind a server before, during and after the block.

    Args:
        inputs: The inputs of the run.
        manifest: The manifest of the run, which gets the canary's record.
        counts: The number of requests of the plan, and that of this call.
        spending: The spending of the run.
        on_note: Receives the lines for the user.

    Yields:
        The canary, for the run's replies and driver; None if the run has none.

    Raises:
        ModelError: An answer came from another picture, or the model cannot be asked.
    """
    model, (planned, to_ask) = inputs.model, counts
    if not is_async(model) or not to_ask:
        yield None
        return
    if not inputs.settings.canary:
        manifest.setdefault("canary", {"verdict": "skipped"})
        yield None
        return
    fingerprint, earlier = value_digest(dict(model.fingerprint())), manifest.get("canary", {})
    generation = read_generation(manifest).number
    share = canary_share(planned, to_ask, earlier, fingerprint, generation)
    if inputs.settings.batch is not None:  # no request is live, so no probe comes between two
        share = replace(share, during=0, after=share.during + share.after)
    watch = CanaryWatch(model, inputs.card, share, fingerprint, to_ask, spending, earlier, generation)
    try:
        on_note(watch.before())
        yield watch
        if spending.reason != INTERRUPTED:
            watch.after()
        on_note(watch.line())
        watch.require_passed()
    finally:
        if record := watch.record():
            manifest["canary"] = record
