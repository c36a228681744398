"""The rule that tells two spellings of one model from two models, by the names that servers give.

A name is compared without its provider or folder, its letter case, its route and its date:

    openai/gpt-4.1-mini    models/gpt-4.1-mini    GPT-4.1-mini        gpt-4.1-mini
    gpt-4.1-mini:free      gpt-4.1-mini-latest    gpt-4.1-mini:latest gpt-4.1-mini
    gpt-4.1-mini-2025-04-14                                           gpt-4.1-mini of 2025-04-14

Names are of one model if the rest is equal and no two of them have different dates. Everything else is a
part of the name: size (`-mini`, `:7b`), version, `-preview`, `-instruct`, `:thinking`, quantisation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["is_one_model", "undated"]

_ROUTE = re.compile(r"(?:[:@-]latest|:free|:nitro|:floor|\.gguf)$")
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_DATE = re.compile(
    rf"[-@](20\d\d-{_MONTH}-{_DAY}|20\d\d{_MONTH}{_DAY}"  # 2025-04-14, 20241022
    rf"|{_MONTH}-20\d\d|{_MONTH}-{_DAY}"  # 09-2025, 05-20
    rf"|{_MONTH}{_DAY}|2\d{_MONTH}(?:{_DAY})?"  # 0613, 2411, 260428
    r"|00\d)"  # 001, a revision
    r"(-preview)?$"
)


def is_one_model(names: Iterable[str]) -> bool:
    """True if all names can be spellings of one model; also for no name at all.

    >>> is_one_model(["openai/gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"])
    True
    >>> is_one_model(["gpt-4o-2024-08-06", "gpt-4o", "gpt-4o-2024-11-20"])
    False
    """
    found = [undated(name) for name in names]
    return len({name for name, _ in found}) <= 1 and len({date for _, date in found if date}) <= 1


def undated(name: str) -> tuple[str, str]:
    """A name as it is compared, and its date or revision; empty if it has none.

    >>> undated("models/Gemini-2.5-Flash-preview-05-20"), undated("kimi-k2-0905-preview")
    (('gemini-2.5-flash-preview', '05-20'), ('kimi-k2-preview', '0905'))
    """
    short = _ROUTE.sub("", re.split(r"[/\\]", name.strip().rstrip("/\\"))[-1].lower())
    found = _DATE.search(short)
    return (short[: found.start()] + (found[2] or ""), found[1]) if found else (short, "")
