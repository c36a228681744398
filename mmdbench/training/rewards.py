"""CLEAR's three rewards and their weighted sum, as pure functions: accuracy, format, decision.

They follow CLEAR (arXiv 2604.04780, section 3.4 and appendix I) as far as it is known to us: the
subject of each reward, and their weighted sum. The numbers are not known: each one below is a named
parameter with a default of ours, so pass the paper's if you have it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmdbench.records import RESTORE_TAG, Index
from mmdbench.results.judging.journal import JournalledJudge, JudgeJournal
from mmdbench.scoring import Head, Judge, JudgeCall

__all__ = [
    "ACCURACY_HEAD",
    "RewardWeights",
    "Rewards",
    "accuracy_prompt",
    "accuracy_reward",
    "decision_reward",
    "format_reward",
    "read_verdict",
    "restorations",
    "weighted_sum",
]

ACCURACY_HEAD = Head(
    "mmdbench-accuracy/1",
    "You check an answer to a question about a picture against the right one.\n"
    "Reply 1 if it means the same, 0 if it does not or says more than one thing; nothing else.\n\n"
    "Question: How many dogs are there? Right: 2 Answer: There are two dogs.\nVerdict: 1\n"
    "Question: How many dogs are there? Right: 2 Answer: two or three\nVerdict: 0\n",
    comparable=False,
)
"""The prompt for a judge of an answer, in our own words."""

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_TAGS = re.compile(r"</?think>|</?answer>|<image_restore>")
_VERDICT = re.compile(r"(?:verdict\s*:\s*)?([01](?:\.0)?)\s*\.?", re.IGNORECASE)
_ATTEMPTS = 3
_MAX_TOKENS = 16


@dataclass(frozen=True, slots=True)
class RewardWeights:
    """The weights of the rewards, 1 by default (the paper's are not known to us)."""

    accuracy: float = 1.0
    format: float = 1.0
    decision: float = 1.0


@dataclass(frozen=True, slots=True)
class Rewards:
    """The three rewards of one trajectory, a dialogue with its restorations."""

    accuracy: float
    format: float
    decision: float


def weighted_sum(rewards: Rewards, weights: RewardWeights = RewardWeights()) -> float:
    """The reward of a trajectory: weight times reward, summed over the three.

    >>> weighted_sum(Rewards(1.0, 0.0, 1.0), RewardWeights(accuracy=0.7, format=0.1, decision=0.2))
    0.9
    """
    parts = (
        weights.accuracy * rewards.accuracy,
        weights.format * rewards.format,
        weights.decision * rewards.decision,
    )
    return round(sum(parts), 12)


def accuracy_reward(
    judge: Judge,
    question: str,
    truth: str,
    answer: str,
    *,
    journal: JudgeJournal | None = None,
    row: tuple[str, Index] = ("", 0),
) -> float | None:
    """Ask a judge whether an answer means the same as the truth. Raises what the judge raises.

    An empty answer earns 0 without a call. The judge has three attempts at temperature 0.

    Args:
        judge: The judge.
        question: The question.
        truth: The right answer.
        answer: The answer to grade.
        journal: Keeps the judge's replies, so that no call is made twice.
        row: Benchmark and index of the question, recorded in the journal.

    Returns:
        1.0 if it does, 0.0 if not, None if no attempt gave a verdict.
    """
    if not answer.strip():
        return 0.0
    journalled = JournalledJudge(judge, journal)
    for attempt in range(1, _ATTEMPTS + 1):
        call = JudgeCall(
            bench=row[0],
            index=row[1],
            protocol="rewards/1",
            prompt_id=ACCURACY_HEAD.id,
            prompt=accuracy_prompt(question, truth, answer),
            attempt=attempt,
            temperature=0.0,
            max_tokens=_MAX_TOKENS,
        )
        reply = journalled.ask(call)
        verdict = read_verdict(reply.text) if reply.status == "ok" else None
        if verdict is not None:
            return verdict
    return None


def accuracy_prompt(question: str, truth: str, answer: str) -> str:
    """The prompt for a judge of one answer.

    Args:
        question: The question.
        truth: The right answer.
        answer: The answer to grade.

    Returns:
        The prompt.
    """
    return f"{ACCURACY_HEAD.text}Question: {question} Right: {truth} Answer: {answer}\nVerdict:"


def read_verdict(text: str) -> float | None:
    """A judge's 1 or 0; None for anything else.

    >>> read_verdict("Verdict: 1"), read_verdict("0."), read_verdict("10")
    (1.0, 0.0, None)
    """
    match = _VERDICT.fullmatch(text.strip())
    return float(match[1]) if match else None


def format_reward(turns: Sequence[str], *, most_turns: int = 3) -> float:
    """1 if every text of a trajectory has CLEAR's form, else 0.

    Each text has one `<think>` block, and then either the tag for a restoration alone, or one
    `<answer>` block. The last text has the answer, and no other one. `most_turns` is the most texts
    of a dialogue (CLEAR: 3, so at most 2 restorations).

    >>> format_reward(["<think>too dark</think><image_restore>", "<think>a cup</think><answer>B</answer>"])
    1.0
    """
    if not 0 < len(turns) <= most_turns:
        return 0.0
    last = len(turns) - 1
    return float(all(_act(text) == ("answer" if i == last else "restore") for i, text in enumerate(turns)))


def restorations(turns: Sequence[str]) -> int:
    """The number of texts that ask for a restoration and do not answer as well."""
    return sum(RESTORE_TAG in text and not _ANSWER.search(text) for text in turns)


def decision_reward(
    restored: bool, needed: bool, *, right: float = 1.0, idle: float = 0.0, missed: float = 0.0
) -> float:
    """The reward of the decision to restore the picture or not.

    Args:
        restored: True if the trajectory restored the picture.
        needed: True if the base model answers the degraded picture wrongly without a restoration,
            the mode `generate` of `mmdbench assign`.
        right: The reward if `restored` equals `needed`.
        idle: The reward of a restoration that was not needed.
        missed: The reward if a needed restoration was not asked for.

    Returns:
        One of the three rewards.
    """
    if restored == needed:
        return right
    return idle if restored else missed


def _act(text: str) -> str:
    # Split by hand: a pattern with several open repeats takes quadratic time on a text of blanks.
    opened, _, rest = text.strip().partition("<think>")
    thought, closed, act = rest.partition("</think>")
    if opened or not closed or not thought.strip():
        return ""
    act, tags = act.strip(), _TAGS.findall(text)
    if act == RESTORE_TAG and tags == ["<think>", "</think>", RESTORE_TAG]:
        return "restore"
    if tags != ["<think>", "</think>", "<answer>", "</answer>"] or not act.startswith("<answer>"):
        return ""
    answer, _, after = act.removeprefix("<answer>").partition("</answer>")
    return "answer" if answer.strip() and not after else ""
