"""Responses of a server, read as an outcome or as a kind of failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmdbench.models.failures import AttemptError, error_of, short_reason
from mmdbench.records import Outcome, Status
from mmdbench.system.secrets import hide

__all__ = ["outcome_of"]


def outcome_of(content_type: str, body: bytes, key: str = "") -> Outcome:
    """Read a chat completion.

    Args:
        content_type: The response's Content-Type.
        body: The response's body.
        key: The key of the endpoint, which is hidden wherever the server repeats it.

    Returns:
        The outcome.

    Raises:
        AttemptError: The response is no chat completion.
    """
    if "json" not in content_type.lower():
        shown = short_reason(body.decode("utf-8", "replace"), key)[:80]  # cut first, half a key could be left
        raise AttemptError("wrong_content_type", f"the server sent {content_type or 'nothing'}: {shown}")
    try:
        answer = json.loads(body)
        choices = answer["choices"] if isinstance(answer, dict) and "choices" in answer else None
    except ValueError as error:
        raise AttemptError("malformed", f"the answer is no JSON: {short_reason(str(error), key)}") from None
    if choices is None:
        raise _error_in_body(answer, key)
    if not choices:
        raise AttemptError("empty_choices", "the answer holds no choice")
    try:
        return _outcome(answer, choices[0], key)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AttemptError(
            "malformed", f"the answer has another form: {short_reason(repr(error), key)}"
        ) from None


def _outcome(answer: Mapping[str, Any], choice: Mapping[str, Any], key: str) -> Outcome:
    message = choice.get("message") or {}
    finish = short_reason(str(choice.get("finish_reason") or ""), key)
    text = _text(message.get("content"))
    refusal = message.get("refusal")
    if key:
        text = hide(text, key)
    details: dict[str, Any] = {"finish_reason": finish}
    usage = _usage(answer.get("usage"))
    if usage:
        details["usage"] = usage
    if answer.get("model"):
        details["model"] = short_reason(_public(str(answer["model"])), key)
    thoughts = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thoughts, str) and thoughts:
        details["reasoning"] = hide(thoughts, key)
    status, reason = _status(text, finish, str(refusal or ""))
    return Outcome(text, status, short_reason(reason, key), details)


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
    written = int(usage.get("completion_tokens") or 0)
    total = usage.get("total_tokens")
    if isinstance(total, int):  # some servers count thoughts, which are paid for, in the total alone
        written = max(written, total - usage["prompt_tokens"])
    found = {"prompt": usage["prompt_tokens"], "completion": written}
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
