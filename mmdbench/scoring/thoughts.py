"""Thoughts in a reply: the marks that open and close them, by family, and thoughts without an end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["after_thoughts", "begins_thought", "prompt_opens_thought", "thought_start"]

# Qwen, DeepSeek, GLM, InternVL and many more; a namespace as in <seed:think>; tags that prompts ask for.
_NAMES = (
    *("think", "thinking", "thought", "thoughts", "reason", "reasoning", "reflection", "rationale"),
    *("scratchpad", "analysis", "cot"),
)
_TAGS = {name: (rf"(?i:<(?:\w{{1,20}}:)?{name}>)", rf"(?i:</(?:\w{{1,20}}:)?{name}>)") for name in _NAMES}
# Sections that LLaVA-CoT and Robust-R1 write before the answer; elsewhere such words mark no thought.
_SECTIONS = {
    name: (f"<{name}>", f"</{name}>|<{name}_END>") for name in ("SUMMARY", "CAPTION", "TYPE", "INFLUENCE")
}
_KINDS = {
    **_TAGS,
    "reasoning": (_TAGS["reasoning"][0], f"{_TAGS['reasoning'][1]}|<REASONING_END>"),
    "magistral": (r"\[THINK\]", r"\[/THINK\]"),
    "kimi": (r"◁think▷", r"◁/think▷"),
    "cohere": (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    "begin": (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    # gpt-oss and Gemma; without its special tokens gpt-oss's reply is `analysisWe see …assistantfinalB`.
    "channel": (
        r"<\|channel\|?>\s*(?:analysis|commentary|thought)\b|\Aanalysis(?=[A-Z])",
        r"<\|channel\|?>\s*final\b(?:\s*<\|message\|>)?|<channel\|>|assistantfinal",
    ),
    **_SECTIONS,
}
_MARKS = re.compile(
    "|".join(f"(?P<o{n}>{o})|(?P<c{n}>{c})" for n, (o, c) in enumerate(_KINDS.values())), re.ASCII
)
_KIND_OF = dict(enumerate(_KINDS))
_MAY_HOLD_MARKS = re.compile(r"[<\[◁]|\Aanalysis")


@dataclass(frozen=True, slots=True)
class _Mark:
    kind: str
    closes: bool
    start: int
    end: int


def after_thoughts(text: str) -> int:
    """The place where the last closed thought of a text ends; 0 if none does."""
    return max((mark.end for mark in _marks(text) if mark.closes and mark.kind not in _SECTIONS), default=0)


def thought_start(text: str, *, opened: bool = False) -> int | None:
    """The place where the thought begins that a text ends in; None if it ends outside of one.

    `opened` is True if the end of the prompt opened a thought, which the text continues; a text that begins
    with an opening mark repeats that of the prompt.

    >>> thought_start("<think>A?</think> B"), thought_start("B? <think>The ears")
    (None, 3)
    """
    started = [_Mark("", False, 0, 0)] if opened else []
    for mark in _marks(text):
        kinds = [known.kind for known in started]
        if not mark.closes:
            if opened and not text[: mark.start].strip():
                started.clear()
            started += [] if mark.kind in kinds else [mark]
        elif mark.kind in kinds:
            del started[kinds.index(mark.kind) :]
        elif mark.kind not in _SECTIONS:  # its opening mark was in the prompt: all before it was thought
            started.clear()
    return started[0].start if started else None


def prompt_opens_thought(finished: Iterable[str]) -> bool:
    """True if at least half of the finished replies close a thought that they did not open.

    The end of their prompt opened it then, as chat templates of reasoning models do.
    """
    closed = [_closes_unopened(text) for text in finished]
    return bool(closed) and 2 * sum(closed) >= len(closed)


def begins_thought(prompt: str) -> bool:
    """True if a prompt ends in a mark that opens a thought."""
    marks = list(_marks(prompt))
    return bool(marks) and not marks[-1].closes and not prompt[marks[-1].end :].strip()


@lru_cache(maxsize=1024)  # half a million replies repeat a few letters
def _closes_unopened(text: str) -> bool:
    first = next((mark for mark in _marks(text) if mark.kind not in _SECTIONS), None)
    return first is not None and first.closes and bool(text[: first.start].strip())


def _marks(text: str) -> Iterator[_Mark]:
    if not _MAY_HOLD_MARKS.search(text):
        return
    for found in _MARKS.finditer(text):
        group = str(found.lastgroup)
        yield _Mark(_KIND_OF[int(group[1:])], group[0] == "c", *found.span())
