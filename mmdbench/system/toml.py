"""Reading TOML on every supported version of Python, as strictly as JSON."""

from __future__ import annotations

import sys
from datetime import date, time
from typing import Any

from mmdbench.system.json_text import TOO_DEEP, finite, require_shallow

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["holds_date", "parse_toml"]


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text, with or without a byte order mark.

    Raises ValueError, saying where, if it is not valid TOML, has an infinite number or one that is none, or
    more than `json_text.MOST_LEVELS` levels.
    """
    try:
        tables: dict[str, Any] = tomllib.loads(text.removeprefix("\ufeff"), parse_float=finite)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    require_shallow(tables)
    return tables


def holds_date(value: Any) -> bool:
    """True if a value of TOML is or holds a date or a time, for which JSON has no form.

    >>> holds_date(parse_toml("a = [{ b = 07:32:00 }]")), holds_date(parse_toml("a = '2027-01-14'"))
    (True, False)
    """
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, date | time) or any(map(holds_date, inner))
