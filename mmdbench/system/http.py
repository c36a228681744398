"""HTTP headers that several rooms read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timezone
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["retry_after"]

_LONGEST_SECONDS = 1e6


def retry_after(headers: Mapping[str, Any] | Message) -> float | None:
    """Seconds that a server asks its clients to wait; None if it does not ask.

    Read from `retry-after-ms` (milliseconds), else from `retry-after` (seconds or a date).

    >>> retry_after({"retry-after-ms": "1500", "retry-after": "9"}), retry_after({"retry-after": "soon"})
    (1.5, None)
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name) or "") / unit
        except ValueError:
            continue
        if 0 <= seconds < _LONGEST_SECONDS:
            return seconds
    try:
        when = parsedate_to_datetime(headers.get("retry-after") or "")
    except (TypeError, ValueError):
        return None
    # "-0000" gives a date without a zone; HTTP dates are in UTC.
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max(0.0, when.timestamp() - time.time())
