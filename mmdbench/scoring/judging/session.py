"""Judge calls about the rows that no rule resolves: their attempts, and how replies are read."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from mmdbench.scoring.inference import FAIL_MARKER, REFUSED, infer_option
from mmdbench.scoring.judging.calls import Judge, JudgeCall, JudgeReply
from mmdbench.scoring.judging.prompts import Head, JudgeHeads, mcq_prompt, open_answer_prompt
from mmdbench.scoring.protocols import ScoringProtocol
from mmdbench.scoring.sheet import SheetRow
from mmdbench.system.digest import derive_seed

__all__ = ["JudgeSession", "Ruling", "pick_options"]

T = TypeVar("T")

MCQ_SAMPLING: tuple[tuple[float, ...], int] = ((0.0, 0.0, 0.0), 2048)
"""Temperatures of the attempts, and the most tokens of a reply."""

OPEN_ANSWER_TEMPERATURES: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)

VOTE_SAMPLING: tuple[tuple[float, ...], int] = ((1.0,), 2048)
"""Temperature of votes, the default of OpenAI's API, and the most tokens of a reply."""


@dataclass(frozen=True, slots=True)
class Ruling(Generic[T]):
    """A judge's decision on one row: a value, or None and the reason; `attempts` holds its replies."""

    value: T | None
    stage: Literal["judge", "judge_failed", "judge_error", "judge_random"]
    attempts: tuple[JudgeReply, ...]


@dataclass
class JudgeSession:
    """Decisions of one judge on the rows of one benchmark.

    `answered` counts rows with at least one reply, `failed` rows whose calls all failed. `sampling` is
    that of the latest call: temperatures and the most tokens. `not_taken` are settings of calls that the
    judge does not take, `sent` those that it got besides; `last_error` is the reason of the latest failure.
    """

    judge: Judge
    heads: JudgeHeads
    rules: ScoringProtocol
    bench: str
    on_unresolved: str = "miss"
    seed: int = 0
    answered: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    used_heads: dict[str, Head] = field(default_factory=dict, init=False)
    sampling: tuple[tuple[float, ...], int] | None = field(default=None, init=False)
    not_taken: set[str] = field(default_factory=set, init=False)
    sent: dict[str, Any] = field(default_factory=dict, init=False)
    last_error: str = field(default="", init=False)

    def choose(self, row: SheetRow) -> Ruling[str]:
        """Decide on the option that an unresolved reply means, in at most three attempts.

        After the last the row stays unresolved, or, with `on_unresolved="random"`, gets an option drawn
        from the seed and the row's index.
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

    def correctness(self, row: SheetRow, head: Head | None = None) -> Ruling[float]:
        """Grade an open answer from 0 to 1, in at most five attempts at rising temperature.

        The prompt begins with `head`, by default with that for MM-Vet.
        """
        prompt = open_answer_prompt(head or self.heads.mmvet, row.question, row.answer, row.prediction)
        return self._attempt(row, prompt, OPEN_ANSWER_TEMPERATURES, self.rules.mmvet_max_tokens, _read_grade)

    def votes(self, row: SheetRow, prompts: Sequence[tuple[Head, str]]) -> Ruling[tuple[str, ...]]:
        """Ask each prompt once, equal ones too; the value is all replies, None if a call failed.

        Args:
            row: The row that the prompts are about.
            prompts: Head and whole text of each.

        Returns:
            The replies' texts in the order of the prompts.
        """
        self.sampling = (temperature,), max_tokens = VOTE_SAMPLING
        replies = [
            self._ask(row, prompt, number, temperature, max_tokens)
            for number, prompt in enumerate(prompts, start=1)
        ]
        reached = sum(reply.status == "ok" for reply in replies)
        self.answered += reached > 0
        self.failed += not reached
        if reached < len(replies):
            return Ruling(None, "judge_error", tuple(replies))
        return Ruling(tuple(reply.text for reply in replies), "judge", tuple(replies))

    def _attempt(
        self,
        row: SheetRow,
        prompt: tuple[Head, str],
        temperatures: tuple[float, ...],
        max_tokens: int,
        accept: Callable[[str], T | None],
    ) -> Ruling[T]:
        self.sampling = temperatures, max_tokens
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
        call = JudgeCall(
            bench=self.bench,
            index=row.index,
            protocol=self.rules.name,
            prompt_id=head.id,
            prompt=text,
            attempt=attempt,
            temperature=temperature,
            max_tokens=max_tokens,
            depends_on=(row.prediction, dict(row.options)),
        )
        reply = self.judge.ask(call)
        self.not_taken.update(reply.not_taken)
        self.sent.update(
            {k: v for k, v in (reply.sent or {}).items() if k not in ("temperature", "max_tokens")}
        )
        if reply.status == "error":
            self.last_error = reply.text
        return reply


def pick_options(options: Mapping[str, str]) -> list[str]:
    """The labels that a random pick is drawn from: those of the options in order, then `Z`."""
    return [*(label for label in options if label != REFUSED), REFUSED]


def _read_grade(text: str) -> float | None:
    try:
        grade = float(text)
    except ValueError:
        return None
    # A NaN is in no range; VLMEvalKit accepts it, and the mean becomes NaN.
    return grade if not math.isnan(grade) and 0.0 <= grade <= 1.0 else None
