"""CLEAR's three rewards and their weighted sum, as pure functions: accuracy, format, decision.

They are those of CLEAR (arXiv 2604.04780, section 3.4 and appendix I) as far as they are described
to us: what each of them looks at, and that they are summed with weights. The sizes are not: every
number below is a named parameter with a default of ours, so pass the paper's if you have it.
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
"""How a judge is asked whether an answer is right: our own words."""

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_TAGS = re.compile(r"</?think>|</?answer>|<image_restore>")
_VERDICT = re.compile(r"(?:verdict\s*:\s*)?([01](?:\.0)?)\s*\.?", re.IGNORECASE)
_ATTEMPTS = 3
_MAX_TOKENS = 16


@dataclass(frozen=True, slots=True)
class RewardWeights:
    """How much each reward counts; all alike unless given (ours: no source at hand has the paper's)."""

    accuracy: float = 1.0
    format: float = 1.0
    decision: float = 1.0


@dataclass(frozen=True, slots=True)
class Rewards:
    """The three rewards of one trajectory."""

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
    bench: str = "",
    index: Index = 0,
) -> float | None:
    """1 if a judge finds that the answer means the truth, else 0; None if it cannot be had to say either.

    An empty answer is 0 and no judge is asked. The judge has three attempts at temperature 0; with a
    `journal` no call is made twice. Raises what the judge raises.
    """
    if not answer.strip():
        return 0.0
    journalled = JournalledJudge(judge, journal)
    for attempt in range(1, _ATTEMPTS + 1):
        call = JudgeCall(
            bench=bench,
            index=index,
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
    """What the judge is asked about one answer."""
    return f"{ACCURACY_HEAD.text}Question: {question} Right: {truth} Answer: {answer}\nVerdict:"


def read_verdict(text: str) -> float | None:
    """A judge's 1 or 0; None for anything else.

    >>> read_verdict("Verdict: 1"), read_verdict("0."), read_verdict("10")
    (1.0, 0.0, None)
    """
    match = _VERDICT.fullmatch(text.strip())
    return float(match[1]) if match else None


def format_reward(turns: Sequence[str], *, most_turns: int = 3) -> float:
    """1 if every text of a trajectory keeps to CLEAR's form, else 0.

    Each text thinks in one `<think>` block, and then either asks for a restoration, with the tag
    and nothing else, or answers in one `<answer>` block. Only the last answers, and the last does.
    `most_turns` is the most texts of a dialogue (CLEAR: 3, so at most 2 restorations).

    >>> format_reward(["<think>too dark</think><image_restore>", "<think>a cup</think><answer>B</answer>"])
    1.0
    """
    if not 0 < len(turns) <= most_turns:
        return 0.0
    last = len(turns) - 1
    return float(all(_act(text) == ("answer" if i == last else "restore") for i, text in enumerate(turns)))


def restorations(turns: Sequence[str]) -> int:
    """How many texts of a trajectory ask for a restoration; one that answers as well does not."""
    return sum(RESTORE_TAG in text and not _ANSWER.search(text) for text in turns)


def decision_reward(
    restored: bool,
    needed: bool,
    *,
    right: float = 1.0,
    idle: float = 0.0,
    missed: float = 0.0,
) -> float:
    """What the decision to restore, or not to, is worth: `right` if it was made exactly when needed.

    `needed` is what `mmdbench assign` finds out: the base model answers the degraded picture wrongly
    without a restoration. `idle` is for a restoration that was not needed, `missed` for one that was
    and was not asked for.
    """
    if restored == needed:
        return right
    return idle if restored else missed


def _act(text: str) -> str:
    # Taken apart by hand: a search with several open repeats takes for ever on a text of blanks.
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
