"""Table of failures of one attempt to ask a model, and of the action that each kind leads to.

An adapter that asks a server raises AttemptError with a kind of this table. The driver then retries
the request, stores it as an error or as a refusal, or stops the run. Any other exception of an
adapter is `unexpected`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import Repr
from typing import Literal

from mmdbench.errors import UnknownNameError
from mmdbench.models.error_signs import ErrorSigns, kind_of_words, plain_code, read_signs
from mmdbench.models.parameters import refused_parameter
from mmdbench.system.http import retry_after
from mmdbench.system.secrets import hide

__all__ = [
    "CODE_KINDS",
    "RULES",
    "STATUS_KINDS",
    "Action",
    "AttemptError",
    "Rule",
    "error_of",
    "kind_of_connection",
    "kind_of_response",
    "known_kind",
    "short_reason",
]

_LONGEST_REASON = 400
# Not every error of the ssl module: a connection that breaks inside it is retried.
_UNTRUSTED = ("certificate", "wrong_version_number", "handshake_failure", "handshake failure", "unknown_ca")
_UNREACHABLE = ("connecterror", "connectorerror", "name or service", "all connection attempts")

Action = Literal["retry", "fail", "refuse", "stop"]


@dataclass(frozen=True, slots=True)
class Rule:
    """The action after one kind of failure.

    `retry` sends the same request again, later. `fail` stores an error. `refuse` stores a refusal: the
    server does not answer this request. `stop` ends the run: no request can succeed. `slow_down` is
    True if fewer requests at once would help.
    """

    action: Action
    slow_down: bool
    meaning: str


RULES: Mapping[str, Rule] = {
    "rate_limited": Rule("retry", True, "the server limits how much it is asked"),
    "overloaded": Rule("retry", True, "the server is busy, or something before it is"),
    "server_error": Rule("retry", True, "the server failed"),
    "timeout": Rule("retry", True, "no answer came in time"),
    "dropped": Rule("retry", False, "the connection broke before the answer was complete"),
    "unreachable": Rule("retry", True, "nothing listens at the endpoint, or its name is unknown"),
    "malformed": Rule("retry", False, "the answer was not the JSON that it should be"),
    "wrong_content_type": Rule("retry", False, "something other than JSON came back"),
    "empty_choices": Rule("retry", False, "the answer held no choice"),
    "conflict": Rule("retry", False, "the server asks to try again"),
    "mixed_up": Rule("retry", False, "the answer was one to another request"),
    "interrupted": Rule("retry", False, "the server or its provider broke the answer off"),
    "content_filter": Rule("refuse", False, "a content filter refused the request"),
    "bad_request": Rule("fail", False, "the server does not accept this request"),
    "too_long": Rule("fail", False, "the request is longer than the model's context"),
    "too_large": Rule("fail", False, "an image or the request is larger than the server allows"),
    "reply_too_large": Rule("fail", False, "the answer is larger than the option reply_mb allows"),
    "forbidden": Rule("fail", False, "the server forbids this request, or the key to ask at all"),
    "unexpected": Rule("fail", False, "the adapter failed"),
    "unsupported_setting": Rule("stop", False, "the model does not take a setting that is sent to it"),
    "unauthorised": Rule("stop", False, "the key is missing, wrong or not allowed to do this"),
    "not_found": Rule("stop", False, "there is no such model or no such address"),
    "quota": Rule("stop", False, "the account has no credit left"),
    "tls": Rule("stop", False, "the server's certificate or its encryption cannot be trusted"),
}
"""Every kind of failure, retryable ones first."""

STATUS_KINDS: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthorised",
    402: "quota",
    403: "forbidden",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    422: "bad_request",
    425: "conflict",
    429: "rate_limited",
    498: "overloaded",
    499: "interrupted",
    500: "server_error",
    502: "overloaded",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
"""HTTP status → kind; other 4xx are `bad_request`, other 5xx are `server_error`.

498 is Groq's for a lack of capacity, 499 several servers' for a request that was cancelled.
"""

CODE_KINDS: Mapping[str, str] = {
    "content_filter": "content_filter",
    "content_policy": "content_filter",
    "content_policy_violation": "content_filter",
    "ContentPolicyViolationError": "content_filter",
    "moderation_blocked": "content_filter",
    "ResponsibleAIPolicyViolation": "content_filter",
    "DataInspectionFailed": "content_filter",
    "invalid_prompt": "content_filter",
    "refusal": "content_filter",
    "prohibited_content": "content_filter",
    "SensitiveContentDetected": "content_filter",
    "InputTextSensitiveContentDetected": "content_filter",
    "InputImageSensitiveContentDetected": "content_filter",
    "OutputTextSensitiveContentDetected": "content_filter",
    "InputTextRiskDetection": "content_filter",
    "InputImageRiskDetection": "content_filter",
    "OutputTextRiskDetection": "content_filter",
    "sensitive_check_error": "content_filter",
    "1301": "content_filter",
    "context_length_exceeded": "too_long",
    "string_above_max_length": "too_long",
    "string_too_long": "too_long",
    "image_too_large": "too_large",
    "payload_too_large": "too_large",
    "insufficient_quota": "quota",
    "exceeded_current_quota_error": "quota",
    "billing_hard_limit_reached": "quota",
    "billing_not_active": "quota",
    "insufficient_funds": "quota",
    "AccountOverdueError": "quota",
    "Arrearage": "quota",
    "1113": "quota",
    "rate_limit_exceeded": "rate_limited",
    "rate_limit_error": "rate_limited",
    "userRateLimitExceeded": "rate_limited",
    "ThrottlingException": "rate_limited",
    "Throttling": "rate_limited",
    "Throttling.RateQuota": "rate_limited",
    "Throttling.AllocationQuota": "rate_limited",
    "1302": "rate_limited",
    "model_not_found": "not_found",
    "invalid_api_key": "unauthorised",
    "API_KEY_INVALID": "unauthorised",
}
"""Error code of a server → kind; takes precedence over the status, and case and punctuation do not count.

`1301`, `1113` and `1302` are Zhipu's.
"""

_PLAIN_CODES = {plain_code(code): kind for code, kind in CODE_KINDS.items()}
# A body of any depth; no text is cut, since half a key could be left.
_SHALLOW = Repr()
_SHALLOW.maxstring = 1_000_000
_OF_THE_REQUEST = ("content_filter", "too_long", "too_large")


class AttemptError(Exception):
    """Failure of one attempt; the driver turns it into a retry, a status or a ModelError."""

    def __init__(self, kind: str, reason: str, retry_after: float | None = None, parameter: str = "") -> None:
        """Describe a failure.

        Args:
            kind: A key of `RULES`.
            reason: The error in words, without keys and other secrets.
            retry_after: Seconds that the server asks its clients to wait, if it does.
            parameter: The name of the setting that the server refuses, if it refuses one.

        Raises:
            UnknownNameError: There is no such kind.
        """
        if kind not in RULES:
            raise UnknownNameError("kind of failure", kind, RULES)
        self.kind, self.reason, self.retry_after, self.parameter = kind, reason, retry_after, parameter
        super().__init__(reason)

    @property
    def rule(self) -> Rule:
        """The rule of this kind of failure."""
        return RULES[self.kind]


def kind_of_response(status: int, code: str = "") -> str:
    """The kind of failure behind an HTTP status and a server's error code.

    >>> kind_of_response(429), kind_of_response(429, "insufficient_quota"), kind_of_response(418)
    ('rate_limited', 'quota', 'bad_request')
    """
    return _PLAIN_CODES.get(plain_code(code)) or STATUS_KINDS.get(
        status, "server_error" if status >= 500 else "bad_request"
    )


def error_of(status: int, body: object, headers: Mapping[str, str], key: str = "") -> AttemptError:
    """The failure behind an HTTP error: by its codes, else by its words, else by its status.

    Args:
        status: The HTTP status.
        body: The decoded body: an object with `error`, or anything else.
        headers: The response's headers, for `Retry-After` and its like.
        key: The endpoint's key, which is removed from the reason.

    Returns:
        The error to raise.
    """
    signs = read_signs(body)
    wait_seconds = retry_after(headers)
    kind = _kind(status, signs, has_wait=wait_seconds is not None)
    if wait_seconds is None and kind == "rate_limited":
        wait_seconds = retry_after(headers, resets=True) if signs.wait_seconds is None else signs.wait_seconds
    texts = dict.fromkeys(signs.texts) or [_SHALLOW.repr(body) if body else ""]
    refused = refused_parameter(status, signs) if kind == "bad_request" else ""
    reason = short_reason(f"HTTP {status}: {': '.join(list(texts)[:2])}", key)
    return AttemptError(kind, reason, wait_seconds, refused)


def known_kind(signs: ErrorSigns) -> str:
    """The kind that an error's codes and marks mean; empty if they are not known.

    A content filter comes first. Of what a gateway passes on only that counts which is about the request.
    """
    own = [_PLAIN_CODES[code] for code in signs.own if code in _PLAIN_CODES]
    inner = [_PLAIN_CODES[code] for code in signs.passed_on if _PLAIN_CODES.get(code) in _OF_THE_REQUEST]
    if signs.marked or "content_filter" in [*own, *inner]:
        return "content_filter"
    return next(iter([*own, *inner]), "")


def _kind(status: int, signs: ErrorSigns, *, has_wait: bool) -> str:
    kind = known_kind(signs) or kind_of_words(status, " ".join(signs.texts)) or kind_of_response(status)
    if status == 403 and kind in ("unauthorised", "not_found"):
        kind = "forbidden"  # it may be about one picture; the driver ends the run if it is about all
    if has_wait and (kind == "forbidden" or (status == 402 and kind == "quota")):
        return "rate_limited"
    return kind


def kind_of_connection(error: BaseException, otherwise: str = "dropped") -> str:
    """`tls`, `unreachable` or `otherwise`, by a connection error and its causes."""
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


def short_reason(text: str, key: str) -> str:
    """The text without the key, cut to a length that fits into a message."""
    shown = hide(text, key)
    return shown if len(shown) <= _LONGEST_REASON else shown[:_LONGEST_REASON] + "…"
