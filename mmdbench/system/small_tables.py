"""Tables of records that are read by the hundred thousand and repeat the same keys and texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from sys import intern
from typing import Any

__all__ = ["SmallTable", "small_table"]


class SmallTable(Mapping[str, Any]):
    """A table that shares its keys with others, in half the memory of a dict."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
        self._names, self._values = names, values

    def __getitem__(self, key: str) -> Any:
        if key not in self._names:
            raise KeyError(key)
        return self._values[self._names.index(key)]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default."""
        return self._values[self._names.index(key)] if key in self._names else default

    def __contains__(self, key: object) -> bool:
        return key in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return repr(dict(self))


def small_table(table: dict[str, Any]) -> SmallTable:
    """A table and those within it in little memory, with one copy of each text."""
    names, values = tuple(table), list(table.values())
    for place, value in enumerate(values):
        if value.__class__ is str:
            values[place] = intern(value)
        elif value.__class__ is dict:
            values[place] = small_table(value)
    return SmallTable(_NAMES.setdefault(names, names), tuple(values))


_NAMES: dict[tuple[str, ...], tuple[str, ...]] = {}
"""One copy of the keys of tables that have the same."""
