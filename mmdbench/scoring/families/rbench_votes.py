"""R-Bench's own way of asking and grading: prompts, votes of a judge, and row scores made of votes.

The structure is the authors': the parts and order of prompts, the number of calls, the scales, the reading
of a reply's last character, the rounding. The wording is ours, so the prompts have ids of their own.
Source: R-Bench, arXiv 2410.05474, and the notebook of its repository.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from mmdbench.errors import DataError
from mmdbench.records import Question
from mmdbench.scoring.judging.prompts import Head
from mmdbench.scoring.judging.session import JudgeSession, Ruling
from mmdbench.scoring.sheet import SheetRow

__all__ = [
    "CAP_VOTE_HEAD",
    "MCQ_VOTE_HEAD",
    "VOTES",
    "VQA_VOTE_HEAD",
    "ask_choice",
    "ask_short_answer",
    "read_vote",
    "references",
    "row_score",
    "vote_on_caption",
    "vote_on_choice",
    "vote_on_short_answer",
]

VOTES = 5
"""The number of calls about a choice or a short answer."""

_MOST = {"MCQ": 1, "VQA": 2, "CAP": 2}
"""The highest vote of each task; the lowest is 0."""
_MOST_CHARACTERS = 100_000
_MOST_REFERENCES = 100

_LAST = "You may explain. The last character of your reply must be the score itself.\n\n"
_SCALE = (
    "Look at whether it leaves something out, whether what it says is true, and whether it is about what "
    "was asked.\nThe score is 0 where nothing agrees or there is no real answer, 1 where a part agrees, and "
    f"2 where all agrees or nearly all.\n{_LAST}"
)

MCQ_VOTE_HEAD = Head(
    "mmdbench-rbench-mcq-vote/1",
    "Somebody chose an option of a question about a picture. Judge whether it is the right one.\n"
    "The score is 1 if it is, named by letter or by meaning, and 0 if it is another, several or none.\n"
    f"{_LAST}",
    comparable=False,
)
"""The words in which a judge votes on a choice."""

VQA_VOTE_HEAD = Head(
    "mmdbench-rbench-vqa-vote/1",
    "Somebody answered a question about a picture. Judge how far that agrees with the right answer.\n"
    f"{_SCALE}",
    comparable=False,
)
"""The words in which a judge votes on a short answer."""

CAP_VOTE_HEAD = Head(
    "mmdbench-rbench-cap-vote/1",
    "Somebody described a picture. Judge how far that agrees with a description known to be right.\n"
    f"{_SCALE}",
    comparable=False,
)
"""The words in which a judge votes on a caption."""


def ask_choice(question: Question) -> str:
    """The question, its options in one line as the file has them, and a request for the letter."""
    choice = question.fields.get("choice") or _one_line(question.options)
    return f"{question.text}\n{choice}\nGive the letter of the right option, nothing more."


def ask_short_answer(question: Question) -> str:
    """The question, and a limit of ten words."""
    return f"{question.text}. Use 10 words or fewer."


def references(answer: str) -> list[str]:
    """The reference captions of a right answer: those of a Python list of texts, or else the text itself.

    Raises DataError for a text that begins like a list and is none, or is longer than any list of captions.

    >>> references("['Two dogs.', 'Dogs on a lawn.']"), references("Two dogs.")
    (['Two dogs.', 'Dogs on a lawn.'], ['Two dogs.'])
    """
    text = answer.strip()
    if not text.startswith("["):
        return [answer]
    found: object = None
    if len(text) <= _MOST_CHARACTERS:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found = None
    if (
        isinstance(found, list)
        and 0 < len(found) <= _MOST_REFERENCES
        and all(isinstance(caption, str) and caption.strip() for caption in found)
    ):
        return found
    raise DataError(
        f"{text[:60]!r} is not a list of 1 to {_MOST_REFERENCES} captions.",
        hint="Write ['a caption', 'another'], or one caption without brackets.",
    )


def read_vote(task: str, reply: str) -> int:
    """The vote in a judge's reply: its last character if that is on the task's scale, else 0.

    >>> read_vote("VQA", "Score: 2"), read_vote("VQA", "2 points"), read_vote("MCQ", "Score: 1.")
    (2, 0, 0)
    """
    last = reply[-1:]
    return int(last) if last in map(str, range(_MOST[task] + 1)) else 0


def row_score(task: str, votes: Sequence[int]) -> float:
    """The score (0..1) of a row from its votes: of a choice the rounded mean, else the mean share.

    >>> row_score("MCQ", [1, 0, 1, 1, 0]), row_score("VQA", [2, 2, 1, 2, 1])
    (1.0, 0.8)
    """
    if task == "MCQ":
        return float(int(sum(votes) / len(votes) + 0.5))
    return sum(votes) / (_MOST[task] * len(votes))


def vote_on_choice(session: JudgeSession, row: SheetRow) -> Ruling[float]:
    """The row score of a choice, by five votes."""
    lines = [
        f"Question: {row.question}",
        f"Options: {_one_line(row.options)}",
        f"Right option: {row.answer}",
        f"Chosen: {row.prediction}",
    ]
    return _vote(session, row, "MCQ", [(MCQ_VOTE_HEAD, lines)] * VOTES)


def vote_on_short_answer(session: JudgeSession, row: SheetRow) -> Ruling[float]:
    """The row score of a short answer, by five votes."""
    lines = [
        f"Question: {row.question}",
        f"Right answer: {row.answer}",
        f"Answer: {row.prediction}",
    ]
    return _vote(session, row, "VQA", [(VQA_VOTE_HEAD, lines)] * VOTES)


def vote_on_caption(session: JudgeSession, row: SheetRow) -> Ruling[float]:
    """The row score of a caption, by one vote for each of its references."""
    asked = [
        (CAP_VOTE_HEAD, [f"Right description: {reference}", f"Description: {row.prediction}"])
        for reference in references(row.answer)
    ]
    return _vote(session, row, "CAP", asked)


def _vote(
    session: JudgeSession, row: SheetRow, task: str, asked: Sequence[tuple[Head, list[str]]]
) -> Ruling[float]:
    prompts = [(head, head.text + "\n".join([*lines, "Score: "])) for head, lines in asked]
    ruling = session.votes(row, prompts)
    if ruling.value is None:
        return Ruling(None, ruling.stage, ruling.attempts)
    score = row_score(task, [read_vote(task, reply) for reply in ruling.value])
    return Ruling(score, ruling.stage, ruling.attempts)


def _one_line(options: Mapping[str, str]) -> str:
    return "; ".join(f"{label}.{text}" for label, text in options.items())
