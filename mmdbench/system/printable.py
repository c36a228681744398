r"""Text of others, such as names, questions, replies and a server's messages, made safe to show.

A control character is shown as Python writes it, such as `\x1b`: escape sequences, C1 controls, bidi
overrides, line separators, and halves of surrogate pairs. Each rendering adds what its format needs.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["json_text", "log_line", "one_line", "visible"]

_ABOVE_ASCII = "\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"
_CONTROL = re.compile(f"[\x00-\x08\x0b-\x1f{_ABOVE_ASCII}]")
_IN_JSON = re.compile(rf"[{_ABOVE_ASCII}]|(?<=#)#(?=\w*\[)")  # JSON itself escapes the others
_BREAK = re.compile(r"\r\n?")
_COMMAND = re.compile(
    r":(?=:\s*(?:add-|debug|echo|end|error|group|internal-|notice|remove-|save-|set-|stop-|warning))"
    r"|(?<=#)#(?=\w*\[)",
    re.IGNORECASE,
)
"""The colon or hash that begins a command in a log, such as `::error::`, `##[error]` or `##vso[…]`."""


def visible(text: str) -> str:
    r"""A text with its control characters shown, other than line breaks and tabs.

    >>> visible("red\x1b[31m\r\nblue")
    'red\\x1b[31m\nblue'
    """
    if text.isprintable():
        return text
    return _CONTROL.sub(_escape, _BREAK.sub("\n", text))


def one_line(text: str) -> str:
    r"""A text as one line: line breaks and tabs are spaces, other control characters are shown.

    >>> one_line("red\n\x1b]52;c;YQ==\x07")
    'red \\x1b]52;c;YQ==\\x07'
    """
    return visible(text).replace("\n", " ").replace("\t", " ")


def log_line(text: str) -> str:
    r"""A text as one line of a terminal or log, without what a CI service reads as a command.

    >>> log_line("::error::pwned ##[group]")
    '\\x3a:error::pwned #\\x23[group]'
    """
    line = one_line(text)
    return _COMMAND.sub(_escape, line) if "::" in line or "##" in line else line


def json_text(value: Any, **layout: Any) -> str:
    r"""A value as JSON that reads back the same, with control characters and commands of logs escaped.

    `layout` is that of `json.dumps`, such as `indent`.

    >>> json_text({"name": "\x9b31m \u202e ##[error]"})
    '{"name": "\\u009b31m \\u202e #\\u0023[error]"}'
    """
    text = json.dumps(value, ensure_ascii=False, **layout)
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
