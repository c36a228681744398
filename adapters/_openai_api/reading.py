"""From what a server sent back to an outcome, or to the kind of failure it was."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from mmdbench.failures import AttemptError, kind_of_response
from mmdbench.records import Outcome, Status

__all__ = ["error_of", "hide", "kind_of_connection", "outcome_of", "retry_after"]

_LONGEST_REASON = 400
_HIDDEN = "[hidden]"
# Not every error of the ssl module: a connection that breaks within it is worth another attempt.
_UNTRUSTED = ("certificate", "wrong_version_number", "handshake_failure", "handshake failure", "unknown_ca")
_UNREACHABLE = ("connecterror", "connectorerror", "name or service", "all connection attempts")


def outcome_of(content_type: str, body: bytes, key: str = "") -> Outcome:
    """Read a chat completion; AttemptError if it is none."""
    if "json" not in content_type.lower():
        shown = hide(body[:80].decode("utf-8", "replace"), key)
        raise AttemptError("wrong_content_type", f"the server sent {content_type or 'nothing'}: {shown}")
    try:
        answer = json.loads(body)
        choices = answer["choices"] if isinstance(answer, dict) and "choices" in answer else None
    except ValueError as error:
        raise AttemptError("malformed", f"the answer is no JSON: {hide(str(error), key)}") from None
    if choices is None:
        raise _error_in_body(answer, key)
    if not choices:
        raise AttemptError("empty_choices", "the answer holds no choice")
    try:
        return _outcome(answer, choices[0], key)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AttemptError("malformed", f"the answer has another form: {hide(repr(error), key)}") from None


def error_of(status: int, body: object, headers: Mapping[str, str], key: str = "") -> AttemptError:
    """The failure that an HTTP error stands for."""
    details = body.get("error", body) if isinstance(body, dict) else body
    code, message = "", str(details or "")
    if isinstance(details, dict):
        inner = details.get("innererror")
        code = str((inner.get("code") if isinstance(inner, dict) else None) or details.get("code") or "")
        if kind_of_response(status, code) == kind_of_response(status):
            code = str(details.get("type") or code)
        message = str(details.get("message") or details)
    kind = kind_of_response(status, code)
    return AttemptError(kind, hide(f"HTTP {status}: {message}", key), retry_after(headers))


def kind_of_connection(error: BaseException, otherwise: str = "dropped") -> str:
    """`tls`, `unreachable` or what else it was, from the errors that a connection error was caused by."""
    seen: BaseException | None = error
    kind = otherwise
    while seen is not None:
        text = f"{type(seen).__name__} {seen}".lower()
        if any(sign in text for sign in _UNTRUSTED):
            return "tls"
        if isinstance(seen, ConnectionRefusedError) or any(sign in text for sign in _UNREACHABLE):
            kind = "unreachable"
        seen = seen.__cause__ or seen.__context__
    return kind


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to be left alone: from milliseconds, seconds or a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 <= seconds < 1e6:
            return seconds
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def hide(text: str, key: str) -> str:
    """The text, not too long, without the key."""
    shown = text.replace(key, _HIDDEN) if key else text
    return shown if len(shown) <= _LONGEST_REASON else shown[:_LONGEST_REASON] + "…"


def _outcome(answer: Mapping[str, Any], choice: Mapping[str, Any], key: str) -> Outcome:
    message = choice.get("message") or {}
    finish = str(choice.get("finish_reason") or "")
    text = _text(message.get("content"))
    refusal = message.get("refusal")
    if key:
        text = text.replace(key, _HIDDEN)
    details: dict[str, Any] = {"finish_reason": finish}
    usage = _usage(answer.get("usage"))
    if usage:
        details["usage"] = usage
    if answer.get("model"):
        details["model"] = _public(str(answer["model"]))
    thoughts = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thoughts, str) and thoughts:
        details["reasoning"] = thoughts.replace(key, _HIDDEN) if key else thoughts
    status, reason = _status(text, finish, str(refusal or ""))
    return Outcome(text, status, hide(reason, key), details)


def _status(text: str, finish: str, refusal: str) -> tuple[Status, str]:
    if finish == "content_filter" or refusal:
        return "refused", refusal or "a content filter stopped the answer"
    if finish == "length":
        return "truncated", "the answer reached the most tokens it may have"
    if not text.strip():
        return "empty", f"the answer is empty (finish reason {finish or 'unknown'})"
    return "ok", ""


def _text(content: Any) -> str:
    if isinstance(content, list):  # parts, as some servers send them
        return "".join(str(part.get("text") or "") for part in content)
    if content is None or isinstance(content, str):
        return content or ""
    raise TypeError(f"content is a {type(content).__name__}")


def _usage(usage: Any) -> dict[str, int]:
    if not isinstance(usage, dict) or not isinstance(usage.get("prompt_tokens"), int):
        return {}
    found = {"prompt": usage["prompt_tokens"], "completion": int(usage.get("completion_tokens") or 0)}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    return (
        found | ({"cached": int(cached)} if cached else {}) | ({"reasoning": int(thought)} if thought else {})
    )


def _error_in_body(answer: Any, key: str) -> AttemptError:
    # Some servers put an error where a completion should be, and call it a success.
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        code = error.get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        return error_of(status, answer, {}, key)
    return AttemptError("malformed", "the answer holds no choices")


def _public(model: str) -> str:
    return model.rpartition("/")[2] if model.startswith("/") else model
