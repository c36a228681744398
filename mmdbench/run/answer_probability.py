"""Probability of the answer's letter, from the log-probabilities of a reply's tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmdbench.scoring import extract_answer, infer_option
from mmdbench.scoring.thoughts import after_thoughts

__all__ = ["LOGPROBS", "answer_probability"]

LOGPROBS = "logprobs"
"""The entry of an outcome's details that holds pairs of token and log-probability, in the reply's order."""

_AROUND = " \t\r\n()[]{}<>*_`$\"'.,:;!?"
_ENDS_LETTER = re.compile(r"\s*(?:$|[).,:;*\]}<\"'`])")


def answer_probability(text: str, options: Mapping[str, str], tokens: object) -> dict[str, Any]:
    """The letter that a reply to a multiple-choice question answers, and its probability.

    Args:
        text: The reply.
        options: Option texts by letter.
        tokens: Pairs of token and natural logarithm of its probability. They may begin with a thought that is
            not in the text.

    Returns:
        `answer_letter` and `answer_probability` (0..1). Nothing if no letter is read from the reply, or none
        of the tokens is that letter alone.
    """
    pairs = _pairs(tokens)
    letter = infer_option(extract_answer(text), options) if pairs and options else None
    if letter is None or letter not in options:
        return {}
    whole = "".join(token for token, _ in pairs)
    answer = text[after_thoughts(text) :]
    found = whole.rfind(answer) if answer.strip() else -1
    start = found if found >= 0 else after_thoughts(whole)
    logprob = _of_letter(letter, pairs, whole, start)
    if logprob is None:
        return {}
    return {"answer_letter": letter, "answer_probability": round(math.exp(min(logprob, 0.0)), 6)}


def _of_letter(letter: str, pairs: Sequence[tuple[str, float]], whole: str, start: int) -> float | None:
    """The log-probability of the last token that is the letter, rather one that ends like an option."""
    alone, like_option, place = None, None, 0
    for token, logprob in pairs:
        place += len(token)
        if place <= start or token.strip(_AROUND) != letter:
            continue
        alone = logprob
        after = token.rstrip()[-1:] != letter or _ENDS_LETTER.match(whole, place)
        like_option = logprob if after else like_option
    return alone if like_option is None else like_option


def _pairs(tokens: object) -> list[tuple[str, float]]:
    if not isinstance(tokens, Sequence):
        return []
    found = [(pair[0], pair[1]) for pair in tokens if isinstance(pair, Sequence) and len(pair) == 2]
    good = all(
        isinstance(token, str) and isinstance(logprob, int | float) and not math.isnan(logprob)
        for token, logprob in found
    )
    return [(token, float(logprob)) for token, logprob in found] if good else []
