"""Durations: in words, and read from texts such as `7d`."""

from __future__ import annotations

import re
from datetime import timedelta

from mmdbench.errors import UsageError

__all__ = ["duration", "parse_age"]

_DAY_SECONDS = 86400.0
_LONGEST_DAYS = 36525.0


def duration(seconds: float) -> str:
    """Seconds in words of the fitting size.

    >>> [duration(s) for s in (45, 660, 3720, 864000, 1e200)]
    ['45 s', '11 min', '1 h 02 min', '10 days', 'more than a hundred years']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds / _DAY_SECONDS > _LONGEST_DAYS:
        return "more than a hundred years"
    if seconds >= 3 * _DAY_SECONDS:
        return f"{seconds / _DAY_SECONDS:.0f} days"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def parse_age(option: str, text: str | timedelta | None) -> timedelta | None:
    """`7d` → seven days; None for an empty text.

    >>> parse_age("--max-age", "90m")
    datetime.timedelta(seconds=5400)
    """
    if not text or isinstance(text, timedelta):
        return text or None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text)
    if not found or len(found[1]) > 6:
        raise UsageError(f"{option} must be an age, got {text!r}.", hint="Write 30m, 12h, 7d or 2w.")
    unit = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[found[2]]
    return timedelta(**{unit: float(found[1])})
