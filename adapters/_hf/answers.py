"""Turns generated ids into an outcome: the answer, the reason why it ended, and its length."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from mmdbench.records import Outcome, Status

__all__ = ["cut", "outcome_of", "tagged"]


def cut(ids: Sequence[int], ends: Collection[int]) -> tuple[list[int], bool]:
    """The ids before the first end-of-text id, and whether there was one."""
    for position, token in enumerate(ids):
        if token in ends:
            return list(ids[:position]), True
    return list(ids), False


def tagged(text: str, tags: tuple[str, str]) -> tuple[str, str]:
    """The last part of the text between the tags, and its state: `closed`, `open` or `absent`.

    After an opening tag without a closing one, the rest of the text; without tags, the whole text.
    """
    opening, closing = tags
    _, found, after = text.rpartition(opening)
    if not found:
        return text, "absent"
    answer, closed, _ = after.partition(closing)
    return answer, "closed" if closed else "open"


def outcome_of(
    ids: Sequence[int],
    ends: Collection[int],
    tokenizer: Any,
    tags: tuple[str, str] | None,
    details: dict[str, Any],
) -> Outcome:
    """The outcome of the ids after the prompt; `details` becomes part of it.

    Greedy decoding stops at an end-of-text id or at the limit: without the id it was cut short.
    """
    kept, ended = cut(ids, ends)
    text = tokenizer.decode(kept, skip_special_tokens=True)
    if tags is not None:
        # Some releases register the tags as special tokens, which plain decoding leaves out.
        raw = tokenizer.decode(kept, skip_special_tokens=False)
        answer, state = tagged(raw, tags)
        details |= {"answer_tag": state, "raw": raw}
        text = text if state == "absent" else answer
    text = text.strip()
    usage = {**details.get("usage", {}), "completion": len(kept)}
    details |= {"finish": "stop" if ended else "length", "usage": usage}
    status: Status = "ok" if ended else "truncated"
    reason = "" if ended else f"no end within {len(kept)} tokens"
    if ended and not text:
        status, reason = "empty", "the model ended without any text"
    return Outcome(text, status, reason, details)
