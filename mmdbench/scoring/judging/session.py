"""Asking a judge model about what no rule resolves: attempts, journal, and statuses instead of guesses."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from mmdbench.records import Index
from mmdbench.scoring.inference import FAIL_MARKER, REFUSED, infer_option
from mmdbench.scoring.judging.journal import JudgeJournal
from mmdbench.scoring.judging.prompts import Head, JudgeHeads, mcq_prompt, mmvet_prompt
from mmdbench.scoring.protocols import ScoringProtocol
from mmdbench.scoring.sheet import SheetRow
from mmdbench.system.digest import bytes_digest, derive_seed, value_digest

__all__ = ["Judge", "JudgeKey", "JudgeReply", "JudgeSession", "Ruling", "pick_options"]

T = TypeVar("T")

MCQ_SAMPLING: tuple[tuple[float, ...], int] = ((0.0, 0.0, 0.0), 2048)
"""Temperatures of the attempts, and the most tokens of a reply."""

MMVET_TEMPERATURES: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class JudgeKey:
    """Which call this is: the row, the attempt (1, 2, …), and a digest of all that could change the reply."""

    bench: str
    index: Index
    attempt: int
    digest: str


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """What a judge wrote; `error` says that it could not be asked, and `text` then holds the reason."""

    text: str
    status: Literal["ok", "error"] = "ok"


class Judge(Protocol):
    """A model that judges."""

    @property
    def id(self) -> str:
        """Model name and version, as it is written into every score."""
        ...

    def ask(self, prompt: str, *, temperature: float, max_tokens: int, key: JudgeKey) -> JudgeReply:
        """Answer one prompt."""
        ...


@dataclass(frozen=True, slots=True)
class Ruling(Generic[T]):
    """What the judge said on one row: a value, or None and why; `attempts` holds its replies."""

    value: T | None
    stage: Literal["judge", "judge_failed", "judge_error", "judge_random"]
    attempts: tuple[JudgeReply, ...]


@dataclass
class JudgeSession:
    """One judge at work on one benchmark.

    `answered` and `failed` count rows for which at least one call came back, or none did.
    """

    judge: Judge
    heads: JudgeHeads
    rules: ScoringProtocol
    bench: str
    journal: JudgeJournal | None = None
    on_unresolved: str = "miss"
    seed: int = 0
    answered: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    used_heads: dict[str, Head] = field(default_factory=dict, init=False)

    def choose(self, row: SheetRow) -> Ruling[str]:
        """Which option an unresolved reply means, in at most three attempts.

        When all are spent the row stays unresolved, or, with `on_unresolved="random"`, gets an option
        drawn from the seed and the row's index.
        """
        prompt = mcq_prompt(self.heads, row.question, row.options, row.prediction)
        temperatures, max_tokens = MCQ_SAMPLING

        def accept(text: str) -> str | None:
            if FAIL_MARKER in text:
                return None
            return infer_option(text, row.options, protocol=self.rules)

        ruling = self._attempt(row, prompt, temperatures, max_tokens, accept)
        if ruling.stage == "judge_failed" and self.on_unresolved == "random":
            draw = random.Random(derive_seed(self.seed, self.bench, row.index))  # noqa: S311 - no secret
            return Ruling(draw.choice(pick_options(row.options)), "judge_random", ruling.attempts)
        return ruling

    def correctness(self, row: SheetRow) -> Ruling[float]:
        """How right an open answer is, 0..1, in at most five attempts at rising temperature."""
        prompt = mmvet_prompt(self.heads, row.question, row.answer, row.prediction)
        return self._attempt(row, prompt, MMVET_TEMPERATURES, self.rules.mmvet_max_tokens, _read_grade)

    def _attempt(
        self,
        row: SheetRow,
        prompt: tuple[Head, str],
        temperatures: tuple[float, ...],
        max_tokens: int,
        accept: Callable[[str], T | None],
    ) -> Ruling[T]:
        replies: list[JudgeReply] = []
        value: T | None = None
        for attempt, temperature in enumerate(temperatures, start=1):
            replies.append(self._ask(row, prompt, attempt, temperature, max_tokens))
            value = accept(replies[-1].text) if replies[-1].status == "ok" else None
            if value is not None:
                break
        reached = any(reply.status == "ok" for reply in replies)
        self.answered += reached
        self.failed += not reached
        if value is not None:
            return Ruling(value, "judge", tuple(replies))
        return Ruling(None, "judge_failed" if reached else "judge_error", tuple(replies))

    def _ask(
        self, row: SheetRow, prompt: tuple[Head, str], attempt: int, temperature: float, max_tokens: int
    ) -> JudgeReply:
        head, text = prompt
        self.used_heads[head.id] = head
        call: dict[str, Any] = {
            "judge": self.judge.id,
            "protocol": self.rules.name,
            "prompt_id": head.id,
            "prompt_sha256": bytes_digest(text.encode("utf-8", "surrogatepass")),
            "attempt": attempt,
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        digest = value_digest([call, row.prediction, dict(row.options)])
        known = self.journal.find(digest) if self.journal else None
        if known is not None and _is_usable(known):
            return JudgeReply(known["text"])
        key = JudgeKey(self.bench, row.index, attempt, digest)
        reply = self.judge.ask(text, temperature=temperature, max_tokens=max_tokens, key=key)
        if self.journal:
            row_names = {"key": digest, "bench": self.bench, "index": row.index}
            self.journal.add({**row_names, **call, "status": reply.status, "text": reply.text})
        return reply


def _is_usable(record: Mapping[str, Any]) -> bool:
    # A call that failed is made again, or a dead line would be remembered for ever.
    return record.get("status") == "ok" and FAIL_MARKER not in record["text"]


def pick_options(options: Mapping[str, str]) -> list[str]:
    """What a random pick draws from: the labels in order, then `Z`."""
    return [*(label for label in options if label != REFUSED), REFUSED]


def _read_grade(text: str) -> float | None:
    try:
        grade = float(text)
    except ValueError:
        return None
    # A NaN lies in no range; VLMEvalKit lets it through and it spoils the mean.
    return grade if not math.isnan(grade) and 0.0 <= grade <= 1.0 else None
