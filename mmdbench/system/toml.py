"""Reading TOML on every supported version of Python."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["parse_toml"]


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ValueError, saying where, if it is not valid TOML."""
    tables: dict[str, Any] = tomllib.loads(text)
    return tables
