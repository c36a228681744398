"""Hits of questions in columns, so that the tables of half a million replies are made of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mmdbench.records import Index

__all__ = ["CodedColumn", "Codes", "HitColumns", "Mask", "UnitHit", "in_columns"]

Codes = NDArray[np.signedinteger[Any]]
Mask = NDArray[np.bool_]


class UnitHit(msgspec.Struct, frozen=True, gc=False):
    """The hit (0..1) of one question at one level under one corruption.

    A question is the unit that its benchmark's headline counts: a row, a circular group or a pair,
    known by the index of its first row. `stratum` is the part (CV-Bench's source) whose mean the
    headline takes first; `corruption` is None when clean, and for a pair of two corruptions.
    """

    bench: str
    unit: Index
    level: str
    corruption: str | None
    category: str
    hit: float
    stratum: str = ""


class _Names:
    """The distinct values of a column, shared by all parts of it."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = values
        self._others: dict[int, tuple[_Names, Codes]] = {}

    @cached_property
    def place(self) -> dict[Any, int]:
        return {value: code for code, value in enumerate(self.values)}

    @cached_property
    def hashes(self) -> NDArray[np.int64]:
        texts = (tuple(map(str, v)) if isinstance(v, tuple) else v or "" for v in self.values)
        return np.fromiter(map(hash, texts), np.int64, len(self.values))

    def codes_of(self, other: _Names) -> Codes:
        """The code here of each value of another column, -1 for one that is not here."""
        if id(other) not in self._others:
            found = (self.place.get(value, -1) for value in other.values)
            self._others[id(other)] = other, np.fromiter(found, np.intp, len(other.values))
        return self._others[id(other)][1]


@dataclass(frozen=True, slots=True, eq=False)
class CodedColumn:
    """A column of values that occur often, each value as the number of its place among `names`."""

    names: _Names
    codes: Codes

    @classmethod
    def of(cls, values: Iterable[Any]) -> CodedColumn:
        """The column of some values."""
        places: dict[Any, int] = {}
        codes = np.fromiter((places.setdefault(value, len(places)) for value in values), np.int32)
        return cls(_Names(tuple(places)), codes)

    @property
    def values(self) -> list[Any]:
        """The values, row by row."""
        return [self.names.values[code] for code in self.codes.tolist()]

    @property
    def distinct(self) -> list[Any]:
        """The values that occur, each once, in the order in which they first do."""
        found, first = np.unique(self.codes, return_index=True)
        return [self.names.values[code] for code in found[np.argsort(first)].tolist()]

    def only(self, rows: Mask | Codes) -> CodedColumn:
        """The values of some rows."""
        return CodedColumn(self.names, self.codes[rows])

    def equals(self, value: Any) -> Mask:
        """The rows with a value."""
        return np.asarray(self.codes == self.names.place.get(value, -1))

    def renamed(self, name: Callable[[Any], Any]) -> CodedColumn:
        """The column of what a function makes of each value."""
        made = CodedColumn.of(map(name, self.names.values))
        return CodedColumn(made.names, made.codes[self.codes])

    def where(self, wanted: Callable[[Any], bool]) -> Mask:
        """The rows whose value is wanted."""
        return np.fromiter(map(wanted, self.names.values), np.bool_, len(self.names.values))[self.codes]

    def like(self, other: CodedColumn) -> Codes:
        """The codes of another column in the numbers of this one, -1 for values that this one lacks."""
        return other.codes if other.names is self.names else self.names.codes_of(other.names)[other.codes]


@dataclass(frozen=True, slots=True, eq=False)
class HitColumns:
    """Hits in columns, or one by one; `question` holds benchmark and unit, the others are as in `UnitHit`."""

    bench: CodedColumn
    question: CodedColumn
    level: CodedColumn
    corruption: CodedColumn
    category: CodedColumn
    stratum: CodedColumn
    hit: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.hit)

    def __iter__(self) -> Iterator[UnitHit]:
        rows = (self.question, self.level, self.corruption, self.category, self.stratum)
        for (bench, unit), level, corruption, category, stratum, hit in zip(
            *(column.values for column in rows), self.hit.tolist(), strict=True
        ):
            yield UnitHit(bench, unit, level, corruption, category, hit, stratum)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and list(self) == list(other)

    def only(self, rows: Mask | Codes) -> HitColumns:
        """The hits of some rows."""
        return HitColumns(
            self.bench.only(rows),
            self.question.only(rows),
            self.level.only(rows),
            self.corruption.only(rows),
            self.category.only(rows),
            self.stratum.only(rows),
            self.hit[rows],
        )

    @property
    def asked(self) -> NDArray[np.int64]:
        """A number of the question and the corruption of each hit, the same for equal ones in one process."""
        corruptions = self.corruption.names.hashes[self.corruption.codes]
        return self.question.names.hashes[self.question.codes] ^ (corruptions << 1)

    def of(self, bench: str) -> HitColumns:
        """The hits of a benchmark."""
        return self.only(self.bench.equals(bench))

    def at(self, level: str) -> HitColumns:
        """The hits at a level."""
        return self.only(self.level.equals(level))

    def without_strata(self) -> HitColumns:
        """The hits as those of one stratum."""
        return replace(self, stratum=CodedColumn(_Names(("",)), np.zeros(len(self), np.intp)))


def in_columns(hits: HitColumns | Iterable[UnitHit]) -> HitColumns:
    """Hits in columns; those that are so already are returned unchanged."""
    if isinstance(hits, HitColumns):
        return hits
    rows = tuple(hits)
    return HitColumns(
        CodedColumn.of(hit.bench for hit in rows),
        CodedColumn.of((hit.bench, hit.unit) for hit in rows),
        CodedColumn.of(hit.level for hit in rows),
        CodedColumn.of(hit.corruption for hit in rows),
        CodedColumn.of(hit.category for hit in rows),
        CodedColumn.of(hit.stratum for hit in rows),
        np.fromiter((hit.hit for hit in rows), np.float64, len(rows)),
    )
