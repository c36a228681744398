"""HTTP headers that several rooms read."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from email.message import Message

__all__ = ["retry_after", "seconds_of"]

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_FIRST_UNIX_SECONDS, _FIRST_UNIX_MILLISECONDS = 1e9, 1e12
"""From here on a number is a time (since 2001), not a duration (of 31 years)."""

_LONGEST_TEXT = 100

_RESET = re.compile(r"^(?=.*rate-?limit).*\breset\b")
_FIELDS = re.compile(r"(?:^|[;,\s])(t|reset|r|remaining)=\s*(\d+(?:\.\d+)?)")


def retry_after(headers: Mapping[str, Any] | Message, *, resets: bool = False) -> float | None:
    """Seconds that a server asks its clients to wait, at least 0 and finite; None if it does not ask.

    Read from `retry-after-ms` (milliseconds), else from `retry-after` (`seconds_of`). No bound is set here.

    >>> retry_after({"retry-after-ms": "1500", "retry-after": "9"}), retry_after({"Retry-After": "soon"})
    (1.5, None)

    Args:
        headers: The headers of a response; their names may have any case.
        resets: Also read the headers that name the end of a rate limit (`x-ratelimit-reset-requests`,
            `anthropic-ratelimit-tokens-reset`, `ratelimit-reset`, `ratelimit`), unless something remains.

    Returns:
        Seconds, or None.
    """
    found = {str(name).lower(): str(value).strip() for name, value in headers.items()}
    milliseconds = _number(found.get("retry-after-ms", ""))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    seconds = seconds_of(found.get("retry-after", ""))
    return _until_reset(found) if seconds is None and resets else seconds


def seconds_of(value: object) -> float | None:
    """The seconds from now that a text or number means, at least 0 and finite; None if it means none.

    Read are seconds, durations such as `6m0s`, dates of HTTP and ISO 8601, and Unix times.

    >>> [seconds_of(v) for v in ("7", "6m0s", "-3", "nan", "120ms", "Wed, 21 Oct 2015 07:28:00 GMT")]
    [7.0, 360.0, 0.0, None, 0.12, 0.0]
    """
    text = str(value).strip()
    if len(text) > _LONGEST_TEXT:
        return None
    number = _number(text)
    if number is not None:
        if number >= _FIRST_UNIX_SECONDS:
            number = number / (1000 if number >= _FIRST_UNIX_MILLISECONDS else 1) - time.time()
        return max(0.0, number)
    compact = text.lower().replace(" ", "")
    parts = _PART.findall(compact)
    if parts and "".join(amount + unit for amount, unit in parts) == compact:
        return _finite(sum(float(amount) * _UNITS[unit] for amount, unit in parts))
    when = _date(text)
    return None if when is None else max(0.0, when.timestamp() - time.time())


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return _finite(number)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    for read in (parsedate_to_datetime, lambda value: datetime.fromisoformat(value.replace("Z", "+00:00"))):
        try:
            when = read(text)
        except (TypeError, ValueError, OverflowError):
            continue
        # "-0000" gives a date without a zone; HTTP dates are in UTC.
        return when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return None


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """The longest wait for a limit with nothing left, else the shortest of those that do not say."""
    used_up: list[float] = []
    unknown: list[float] = []
    for seconds, remaining in _resets(headers):
        if seconds is not None and (remaining is None or remaining <= 0):
            (unknown if remaining is None else used_up).append(seconds)
    return max(used_up) if used_up else min(unknown, default=None)


def _resets(headers: Mapping[str, str]) -> Iterator[tuple[float | None, float | None]]:
    """Seconds until a limit ends and what remains of it, for each limit that the headers name."""
    for name, value in headers.items():
        if _RESET.search(name):
            yield seconds_of(value), _number(headers.get(name.replace("reset", "remaining"), ""))
    # Both drafts of one header: `limit=9, remaining=0, reset=30` and `"a";r=0;t=30, "b";r=4;t=3600`.
    for policy in re.split(r',\s*(?=")', headers.get("ratelimit", "")):
        fields = dict(_FIELDS.findall(policy))
        if fields:
            remaining = str(fields.get("r", fields.get("remaining", "")))
            yield seconds_of(fields.get("t", fields.get("reset", ""))), _number(remaining)
