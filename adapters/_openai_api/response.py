"""Responses of a server, read as an outcome or as a kind of failure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmdbench.models.error_signs import read_signs
from mmdbench.models.failures import RULES, AttemptError, error_of, known_kind, short_reason
from mmdbench.models.finish_reasons import FINISHED, REFUSED, TRUNCATED, finish_kind
from mmdbench.models.tokens import shown_usage, token_count
from mmdbench.records import NO_USAGE, Outcome, Status
from mmdbench.system.environment import portable
from mmdbench.system.secrets import hide

from .thoughts import message_text, message_thoughts, used_effort

__all__ = ["outcome_of", "outcome_of_json", "read_json", "reply_too_large"]

_PAID = ("prompt_tokens", "completion_tokens", "total_tokens")
_COUNTS = (*_PAID, "cached_tokens", "reasoning_tokens")


def outcome_of(content_type: str, body: bytes, key: str = "") -> Outcome:
    """Read a chat completion.

    Args:
        content_type: The response's Content-Type, which counts only if the body is no JSON.
        body: The response's body.
        key: The key of the endpoint, which is hidden wherever the server repeats it.

    Returns:
        The outcome.

    Raises:
        AttemptError: The response is no chat completion.
    """
    try:
        answer = read_json(body)
    except (ValueError, RecursionError) as error:
        if "json" not in content_type.lower():
            shown = short_reason(body.decode("utf-8", "replace"), key)[:80]  # cut first, half a key is left
            raise AttemptError(
                "wrong_content_type", f"the server sent {content_type or 'nothing'}: {shown}"
            ) from None
        raise AttemptError("malformed", f"the answer is no JSON: {short_reason(str(error), key)}") from None
    return outcome_of_json(answer, key)


def reply_too_large(most_mb: float) -> AttemptError:
    """The error for an answer of more than so many millions of bytes."""
    return AttemptError("reply_too_large", f"the answer is larger than {most_mb:g} MB")


def read_json(body: bytes) -> Any:
    """The JSON of a server's text. Raises ValueError or RecursionError."""
    return json.loads(body, parse_int=_whole)


def outcome_of_json(answer: Any, key: str = "") -> Outcome:
    """Read the JSON of a chat completion, as `outcome_of` does. Raises AttemptError."""
    _raise_error(answer, key)
    if not answer["choices"]:
        raise AttemptError("empty_choices", "the answer holds no choice")
    try:
        return _outcome(answer, answer["choices"][0], key)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AttemptError(
            "malformed", f"the answer has another form: {short_reason(repr(error), key)}"
        ) from None


def _outcome(answer: Mapping[str, Any], choice: Mapping[str, Any], key: str) -> Outcome:
    message = choice.get("message") or {}
    spellings = [short_reason(finish, key) for finish in (_text(choice, "finish_reason"), _native(choice))]
    if _has_error(choice):
        raise _late_error(choice, key)
    text = message_text(message.get("content"))
    refusal = message.get("refusal")
    if key:
        text = hide(text, key)
    details: dict[str, Any] = {"finish_reason": spellings[0]}
    if spellings[1] not in ("", spellings[0]):
        details["native_finish_reason"] = spellings[1]
    details |= _usage(answer.get("usage"))
    if answer.get("model"):
        details["model"] = short_reason(_public(str(answer["model"])), key)
    if answer.get("system_fingerprint"):
        details["system_fingerprint"] = short_reason(str(answer["system_fingerprint"]), key)
    thoughts, effort = message_thoughts(message), used_effort(answer)
    if thoughts:
        details["reasoning"] = hide(thoughts, key)
    tokens = _tokens(choice.get("logprobs"))
    if tokens:
        details["logprobs"] = tokens
    if effort:
        details["reasoning_effort"] = short_reason(effort, key)
    status, reason = _status(text, spellings, str(refusal or ""))
    return Outcome(text, status, short_reason(reason, key), details)


def _native(choice: Mapping[str, Any]) -> str:
    """The provider's own finish reason, as OpenRouter gives it, or litellm, which calls many `stop`."""
    inner = choice.get("provider_specific_fields")
    name = "native_finish_reason"
    return _text(choice, name) or (_text(inner, name) if isinstance(inner, Mapping) else "")


def _text(table: Mapping[str, Any], name: str) -> str:
    return str(table.get(name) or "")


def _tokens(logprobs: Any) -> list[tuple[str, float]]:
    """The reply's tokens with their log-probabilities; none if they have another form than OpenAI's."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    try:
        return [(str(token["token"]), float(token["logprob"])) for token in content or ()]
    except (KeyError, TypeError, ValueError):
        return []


def _status(text: str, spellings: list[str], refusal: str) -> tuple[Status, str]:
    """The status of a reply; of a gateway's finish reason and its provider's the worse one counts."""
    kinds = [(finish_kind(finish), finish) for finish in spellings]
    kind, finish = next(((k, f) for k, f in kinds if k not in (None, FINISHED)), (FINISHED, spellings[0]))
    if kind == REFUSED or refusal:
        return "refused", refusal or f"a content filter stopped the answer (finish reason {finish})"
    if kind == TRUNCATED:
        return "truncated", f"the answer was cut before its end (finish reason {finish})"
    if kind in RULES:
        raise AttemptError(str(kind), f"{RULES[str(kind)].meaning} (finish reason {finish})")
    if not text.strip():
        return "empty", f"the answer is empty (finish reason {finish or 'unknown'})"
    return "ok", ""


def _usage(usage: Any) -> dict[str, Any]:
    """Details with the numbers of tokens, and with what came in place of one."""
    if usage is None:
        return {}
    if not isinstance(usage, dict):
        return {NO_USAGE: shown_usage(usage)}
    inner = [usage.get(f"{name}_tokens_details") for name in ("prompt", "completion", "output")]
    tables = [usage, *(table for table in inner if table is not None)]
    is_odd = any(not isinstance(table, dict) or _has_odd(table, _COUNTS) for table in tables)
    found = _counts(usage)
    return ({"usage": found} if found else {}) | ({NO_USAGE: shown_usage(usage)} if is_odd else {})


def _has_odd(table: Mapping[str, Any], names: Sequence[str]) -> bool:
    return any(table.get(name) is not None and _count(table, name) is None for name in names)


def _counts(usage: Mapping[str, Any]) -> dict[str, int]:
    if _has_odd(usage, _PAID):
        return {}  # a part of it would make the reply too cheap
    read, total = _count(usage, "prompt_tokens"), _count(usage, "total_tokens")
    if read is None:
        return {}
    written = _count(usage, "completion_tokens") or 0
    if total is not None:  # some servers count thoughts, which are paid for, in the total alone
        written = max(written, total - read)
    cached = min(read, _count(usage.get("prompt_tokens_details"), "cached_tokens") or 0)
    details = [usage.get(f"{name}_tokens_details") for name in ("completion", "output")]
    thought = next((n for table in (*details, usage) if (n := _count(table, "reasoning_tokens"))), 0)
    found = {"prompt": read, "completion": written}
    return found | ({"cached": cached} if cached else {}) | ({"reasoning": thought} if thought else {})


def _count(counts: Any, name: str) -> int | None:
    return token_count(counts.get(name)) if isinstance(counts, dict) else None


def _whole(digits: str) -> float:
    """A number of an answer; one of thousands of digits, which Python does not read, is infinite."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _raise_error(answer: Any, key: str) -> None:
    """Raise the error that some servers put beside or in place of a completion, and call a success."""
    if not isinstance(answer, dict):
        raise AttemptError("malformed", "the answer holds no choices")
    if answer.get("choices"):
        if _has_error(answer):
            raise _late_error(answer, key)
        return
    if _has_error(answer) or known_kind(read_signs(answer)):
        raise error_of(_status_in(answer), answer, {}, key)
    if "promptFeedback" in answer or "candidates" in answer:
        raise AttemptError("content_filter", "the server answers with no candidate")
    if answer.get("choices") is None:
        raise AttemptError("malformed", "the answer holds no choices")


def _late_error(holder: Mapping[str, Any], key: str) -> AttemptError:
    """The error of an answer that had begun; key and request were accepted, so none of its kinds stops."""
    failure = error_of(_status_in(holder), {"error": holder["error"]}, {}, key)
    if failure.rule.action in ("retry", "refuse"):
        return failure
    return AttemptError("interrupted", failure.reason, failure.retry_after)


def _has_error(holder: Mapping[str, Any]) -> bool:
    error = holder.get("error")
    return any(error.values()) if isinstance(error, dict) else bool(error)


def _status_in(holder: Mapping[str, Any]) -> int:
    error = holder.get("error")
    code = error.get("code") if isinstance(error, dict) else holder.get("code")
    status = int(str(code)) if re.fullmatch("[0-9]{3}", str(code)) else 500
    return status if 400 <= status < 600 else 500


def _public(model: str) -> str:
    # A checkpoint's path or address is private to the server.
    return model.rpartition("/")[2] if "://" in model else str(portable(model))
