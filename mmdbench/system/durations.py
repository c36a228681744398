"""Durations in words."""

from __future__ import annotations

__all__ = ["duration"]

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
