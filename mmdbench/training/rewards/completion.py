"""Completions of a model that may restore: one string, or texts with pictures between them.

CLEAR's supervised data hold a whole completion as one string, its reinforcement learning as pieces
(arXiv 2604.04780, figure 8 and appendix I).
"""

from __future__ import annotations

from collections.abc import Sequence

from mmdbench.records import RESTORE_TAG

__all__ = ["Completion", "completion_text", "is_restored", "judged_text"]

Completion = str | Sequence[object]
"""One string, or its pieces in order, without the prompt; a piece that is no `str` is a picture."""


def completion_text(completion: Completion) -> str:
    """The texts of a completion, joined by one blank.

    >>> completion_text(["<think>too dark</think><image_restore>", None, "<think>a cup</think>"])
    '<think>too dark</think><image_restore> <think>a cup</think>'
    """
    return " ".join(_texts(completion))


def judged_text(completion: Completion) -> str:
    """The answer to judge: the first `<answer>` block of the last piece, else all of that piece.

    Empty if that is blank or the last piece is a picture; such a completion earns 0 without a judge.

    >>> judged_text(["<answer>early</answer>", None, "<think>b</think><answer> two boats </answer>"])
    'two boats'
    """
    pieces = _pieces(completion)
    last = pieces[-1] if pieces else ""
    if not isinstance(last, str):
        return ""
    _, opened, rest = last.partition("<answer>")
    answer, closed, _ = rest.partition("</answer>")
    return (answer if opened and closed else last).strip()


def is_restored(completion: Completion) -> bool:
    """True if a completion asks for a restoration: the tag is in its text (CLEAR, appendix I.3)."""
    return RESTORE_TAG in completion_text(completion)


def _pieces(completion: Completion) -> Sequence[object]:
    return [completion] if isinstance(completion, str) else completion


def _texts(completion: Completion) -> list[str]:
    return [piece for piece in _pieces(completion) if isinstance(piece, str)]
