"""Signs in the body of a server's error: codes, words and marks of a content filter, at any depth.

A gateway wraps the error of its provider: as an object in other fields, or as JSON in a text. What it passes
on tells whether the *request* was refused, too long or too large; the provider's codes for keys, models and
credit are about the gateway's account, so these are read from the server's own error alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmdbench.system.http import seconds_of

__all__ = ["ErrorSigns", "kind_of_words", "plain_code", "read_signs"]

_CODES = frozenset({"code", "type", "status", "reason", "reasons", "errortype", "errorcode", "statuscode"})
_TEXTS = frozenset(
    {"message", "msg", "error", "detail", "details", "reason", "reasons", "raw", "title", "description"}
    | {"errordescription", "errormessage", "statusmsg"}
)
# What follows these keys is part of the server's own error; under other keys it may be a provider's.
_OWN = frozenset({"error", "innererror", "detail", "details", "errors", "baseresp"})
_MARKS = frozenset({"flagged", "flaggedinput", "filtered", "blockreason", "contentfilter"})
_WAITS = frozenset({"retrydelay", "retryafter", "retryafterseconds"})
# A server may repeat the request, whose questions hold any words.
_REQUEST = frozenset({"input", "flaggedinput", "request", "messages", "prompt", "headers", "loc", "param"})
_DEEPEST, _MOST_VALUES, _LONGEST_TEXT = 8, 400, 20_000

_NEVER_REFUSALS = (401, 402, 404, 408, 429, 503, 504, 529)

_PART = r"(?:input|output|prompt|image|picture|content|text|message|response|request|data)s?"
_REFUSED = re.compile(
    r"content[\s_-]*(?:filter|polic|moderat|safety|inspection|security|management\s+polic)"
    r"|usage[\s_-]*(?:polic|guideline)"
    r"|safety[\s_-]*(?:system|check|filter|polic)"
    r"|responsible[\s_-]*ai"
    r"|(?:inappropriate|unsafe|sensitive|prohibited|harmful|explicit)[\s_]+(?:content|information)"
    r"|sensitive chat|sensitive[\s_]check"
    rf"|{_PART}\s+(?:\w+\s+){{0,3}}(?:flagged|filtered|moderated)|flagged\s+(?:as|by|for)\b"
    r"|(?:response|output|prompt)\s+(?:was|is|were|has been)\s+blocked"
    r"|blocked by .{0,60}(?:polic|filter|safety|moderation)"
    r"|guardrail(?!.{0,80}(?:budget|spend|limit|restriction|data polic))"
    r"|considered high risk|content exists risk"
    r"|敏感|违规|不安全内容"
)
_NOT_REFUSED = re.compile(
    r"unavailable|timed?\s*out|overloaded|temporar|(?:try again|retry) (?:later|shortly|in\b)"
    r"|\b(?:your|this|the) (?:account|organi[sz]ation|project|team)\b.{0,60}"
    r"\b(?:suspend|flagged|block|disabl|ban|violat)"
)
_NO_CREDIT = re.compile(
    r"insufficient[\s_]*(?:account[\s_]*)?(?:balance|credit|fund)|(?:out of|no|not enough|more) credits?\b"
    r"|in arrears|overdue (?:payment|balance)|account is (?:not )?in good standing|credit balance is too low"
    r"|balance is (?:too low|not enough|insufficient)|used all (?:available|your) credits|spending limit"
    r"|billing hard limit|payment required|余额不足|欠费"
)
_LIMITED = re.compile(
    r"rate[\s_-]*limit|too[\s_-]*many[\s_-]*requests|slow[\s_-]*down|throttl|\b[rt]p[mds]\b"
    r"|(?:requests|tokens|calls) (?:per|a|/) ?(?:second|minute|hour|day)|concurren"
    r"|(?:request|call|usage|daily|hourly)s? limit (?:\w+ ){0,2}(?:reached|exceeded)"
    r"|quota[\s_]*exceeded|exceeded .{0,60}quota|try again (?:later|in \d)"
)


@dataclass(slots=True)
class ErrorSigns:
    """Signs of an error body.

    `own` are the codes of the server's own error, `passed_on` those of errors inside it, both as
    `plain_code` writes them; `texts` are its messages, outermost first; `fields` are the fields of the
    request that it names; `marked` is the first mark of a content filter, empty without one; `wait_seconds`
    is the pause that the body asks for.
    """

    own: list[str] = field(default_factory=list)
    passed_on: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    marked: str = ""
    wait_seconds: float | None = None


def plain_code(code: object) -> str:
    """A code in lower case, without punctuation.

    >>> plain_code("DataInspectionFailed"), plain_code("data_inspection_failed"), plain_code(1301)
    ('datainspectionfailed', 'datainspectionfailed', '1301')
    """
    return re.sub(r"[^a-z0-9]", "", str(code).lower())


def read_signs(body: object) -> ErrorSigns:
    """Read the signs of a decoded error body: an object, a list or a text.

    >>> read_signs({"error": {"message": "Input flagged", "metadata": {"flagged_input": "…"}}}).marked
    'flaggedinput'
    """
    signs = ErrorSigns()
    seen = 0
    queue: list[tuple[str, Any, bool, int]] = [("error", body, True, 0)]
    while queue and seen < _MOST_VALUES:
        key, value, own, depth = queue.pop(0)
        seen += 1
        _read_value(signs, key, value, own)
        if depth < _DEEPEST:
            queue += [(name, inner, mine, depth + 1) for name, inner, mine in _parts(key, value, own)]
    return signs


def kind_of_words(status: int, text: str) -> str:
    """The kind of failure that an error's words mean where its codes mean none; empty if they decide nothing.

    >>> kind_of_words(403, "Content violates usage guidelines"), kind_of_words(403, "Slow down, please")
    ('content_filter', 'rate_limited')
    """
    lowered = text[:_LONGEST_TEXT].lower()
    is_refusal = _REFUSED.search(lowered) and not _NOT_REFUSED.search(lowered)
    if is_refusal and status not in _NEVER_REFUSALS:
        return "content_filter"
    if status in (400, 402, 403, 429) and _NO_CREDIT.search(lowered):
        return "quota"
    if status in (400, 403) and _LIMITED.search(lowered):
        return "rate_limited"
    return ""


def _read_value(signs: ErrorSigns, key: str, value: object, own: bool) -> None:
    if key in _MARKS and value and not signs.marked:
        signs.marked = key
    if key in _WAITS and signs.wait_seconds is None:
        signs.wait_seconds = seconds_of(value)
    if key == "param" and isinstance(value, str):
        signs.fields.append(value)
    if key == "loc" and isinstance(value, list):
        signs.fields += [part for part in value if isinstance(part, str)]
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        return
    # OpenRouter's own `invalid_prompt` is a message that it cannot read, not one that was refused.
    if key in _CODES and (key, value) != ("errortype", "invalid_prompt"):
        (signs.own if own else signs.passed_on).append(plain_code(value))
    if key in _TEXTS and isinstance(value, str):
        signs.texts.append(value[:_LONGEST_TEXT])


def _parts(key: str, value: object, own: bool) -> Iterator[tuple[str, Any, bool]]:
    """The values inside a value, with their keys; JSON in a text is what a gateway passes on."""
    if key in _REQUEST:
        return
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value, own = json.loads(value), False
        except (ValueError, RecursionError):
            return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            plain = plain_code(name)
            yield plain, inner, own and (plain in _OWN or not isinstance(inner, Mapping | list))
    elif isinstance(value, list):
        for inner in value[:20]:
            yield key, inner, own
