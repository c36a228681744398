"""R_acc, the accuracy reward: a judge's score of an answer from 0 to 1 (CLEAR, section 3.4, appendix I.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mmdbench.errors import UnknownNameError
from mmdbench.records import Index, RewardProfile
from mmdbench.results.judging.journal import JournalledJudge, JudgeJournal
from mmdbench.scoring import Head, Judge, JudgeCall
from mmdbench.system.bounds import require_at_least
from mmdbench.training.rewards.completion import Completion, judged_text

__all__ = [
    "ACCURACY_HEADS",
    "Solution",
    "accuracy_prompt",
    "accuracy_reward",
    "read_code_score",
    "read_score",
]

_SCALE = (
    "Meaning counts, not wording: 1.0 is fully right, 0.0 is wrong altogether, and a number between them is "
    "for the right idea with small mistakes. "
)
ACCURACY_HEADS: Mapping[str, Head] = {
    "paper": Head(
        "mmdbench-accuracy-truth/1",
        "You grade an answer by comparing it with the right one, without favour.\n"
        f"{_SCALE}Reply with that number and nothing else.\n",
        comparable=False,
    ),
    "code": Head(
        "mmdbench-accuracy-question/1",
        "You grade an answer to a question about a picture by comparing it with the right one.\n"
        f"{_SCALE}An open question is answered well if nothing contradicts the right answer; where there is "
        "one definite answer it has to be met, though units may be converted.\n"
        "Reply with one line: Score: NUMBER\n",
        comparable=False,
    ),
}
"""The beginning of the judge's prompt by profile, in our own words."""

_STRICT = re.compile(r"(?:score\s*:\s*)?([0-9]+(?:\.[0-9]+)?|\.[0-9]+)", re.IGNORECASE)
_MARKED, _NUMBER = re.compile(r"score:\s*([\d.]+)"), re.compile(r"([\d.]+)")


@dataclass(frozen=True, slots=True)
class Solution:
    """The right answer to a question, as a judge gets it.

    `question` is for the profile `code` alone. Benchmark and index are recorded in a journal.
    """

    truth: str
    question: str = ""
    bench: str = ""
    index: Index = 0


def accuracy_reward(
    judge: Judge,
    completion: Completion,
    solution: Solution,
    *,
    profile: RewardProfile = "paper",
    attempts: int | None = None,
    journal: JudgeJournal | None = None,
) -> float | None:
    """Ask a judge how right the answer of a completion is. Raises what the judge raises.

    An empty answer earns 0 without a call. A call that fails, or whose reply cannot be read, is made
    again at temperature 0; pauses between calls are the judge's own.

    Args:
        judge: The judge: GPT-4.1-mini in the paper, GPT-4.1 in the code.
        completion: The completion, of which `judged_text` is judged.
        solution: The right answer; the profile `code` needs the question too.
        profile: `paper`: truth and answer, read by `read_score`; `code`: question, truth and answer,
            read by `read_code_score`.
        attempts: The most calls; by default 3 (ours) for `paper`, 5 for `code`.
        journal: Keeps the judge's replies, so that no call is made twice.

    Returns:
        The score, from 0 to 1. If no attempt gave one, None in the profile `paper` and 0 in `code`.

    Raises:
        UsageError: There is no such profile, or `attempts` is below 1.
    """
    rules = _rules(profile)
    attempts = rules.attempts if attempts is None else attempts
    require_at_least("attempts", attempts, 1, whole=True)
    answer = judged_text(completion)
    if not answer:
        return 0.0
    journalled = JournalledJudge(judge, journal)
    for attempt in range(1, attempts + 1):
        call = JudgeCall(
            bench=solution.bench,
            index=solution.index,
            protocol="rewards/2",
            prompt_id=ACCURACY_HEADS[profile].id,
            prompt=accuracy_prompt(answer, solution, profile),
            attempt=attempt,
            temperature=0.0,
            max_tokens=rules.max_tokens,
        )
        reply = journalled.ask(call)
        score = rules.read(reply.text) if reply.status == "ok" else None
        if score is not None:
            return score
    return rules.without_score


def accuracy_prompt(answer: str, solution: Solution, profile: RewardProfile = "paper") -> str:
    """The prompt for a judge of one answer.

    Args:
        answer: The answer to grade.
        solution: The right answer, and the question for the profile `code`.
        profile: `paper` or `code`.

    Returns:
        The prompt.

    Raises:
        UnknownNameError: There is no such profile.
    """
    asked = f"Question: {solution.question}\n" if _rules(profile).with_question else ""
    return (
        f"{ACCURACY_HEADS[profile].text}\n{asked}Right answer: {solution.truth}\nAnswer to grade: {answer}\n"
    )


def read_score(text: str) -> float | None:
    """The score of a judge's reply that is a number from 0 to 1 alone, or after `Score:`; else None.

    >>> read_score("0.85"), read_score("Score: .5"), read_score("3 of 10"), read_score("1.4")
    (0.85, 0.5, None, None)
    """
    match = _STRICT.fullmatch(text.strip())
    score = float(match[1]) if match else None
    return score if score is not None and score <= 1 else None


def read_code_score(text: str) -> float | None:
    """The score of a judge's reply as CLEAR's code reads it; None where its number cannot be read.

    It is the number after `score:`, else the first number, else 1 for a text with "true", 0 for one with
    "false", 0.5 for any other; a number above 1 is 1. Digits and full stops are a number, so that a
    reply with a full stop and no digit cannot be read.

    >>> [read_code_score(text) for text in ("I give 3 of 10", "unsure", "True", "True.")]
    [1.0, 0.5, 1.0, None]
    """
    text = text.lower()
    number = _MARKED.search(text) or _NUMBER.search(text)
    if number is None:
        return 1.0 if "true" in text else 0.0 if "false" in text else 0.5
    try:
        return min(float(number[1]), 1.0)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _Rules:
    read: Callable[[str], float | None]
    attempts: int
    max_tokens: int
    with_question: bool
    without_score: float | None


_RULES = {
    "paper": _Rules(read_score, 3, 16, with_question=False, without_score=None),
    "code": _Rules(read_code_score, 5, 512, with_question=True, without_score=0.0),
}


def _rules(profile: str) -> _Rules:
    if profile not in _RULES:
        raise UnknownNameError("profile of rewards", profile, _RULES)
    return _RULES[profile]
