"""Tables as data: labelled rows of unrounded values, and columns with unit and decimals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmdbench.errors import UnknownNameError
from mmdbench.report.tables.rounding import fixed
from mmdbench.stats import Estimate

__all__ = ["VOLATILE", "Best", "Column", "Row", "Table", "Value", "chosen", "ranks", "shown", "value_of"]

VOLATILE = frozenset({"time", "phases"})
"""Tables that differ between two runs of one plan; they are shown only if they are asked for."""

Best = Literal["", "max", "min"]


@dataclass(frozen=True, slots=True)
class Value:
    """An unrounded number with its 95 % interval and number of questions, if it has them; or a text."""

    value: float | str
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its unit (points, %, count, s …), its decimals when shown, and its best end.

    With `signed`, a positive number is shown with a +. `intervals` is False if its intervals are not
    shown to readers; JSON, CSV and Parquet always hold them.
    """

    name: str
    unit: str = "points"
    digits: int = 1
    best: Best = ""
    signed: bool = False
    intervals: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its labels, and a value or None for each column.

    A `summary` row is a mean or total of others; rows of one section are shown together.
    """

    labels: tuple[str, ...]
    values: tuple[Value | None, ...]
    summary: bool = False
    section: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `key` names it in options and files, `caption` describes its numbers and their weighting."""

    key: str
    title: str
    labels: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""


def value_of(estimate: Estimate | None) -> Value | None:
    """An estimate as a value with its interval."""
    return None if estimate is None else Value(estimate.value, estimate.low, estimate.high, estimate.n)


def shown(value: Value | None, column: Column) -> str:
    """The value as text in all renderings, without its interval; a dash if there is none."""
    if value is None:
        return "–"
    if isinstance(value.value, str):
        return value.value
    text = fixed(value.value, column.digits)
    if column.unit == "p" and not float(text):
        return f"<{fixed(10**-column.digits, column.digits)}"  # a p-value is never 0
    sign = "+" if column.signed and value.value > 0 and float(text) else ""
    return f"{sign}{text}" + (" %" if column.unit == "%" else "")


def ranks(table: Table) -> Mapping[tuple[int, int], int]:
    """1 for the best and 2 for the second value of each column with a best end, by (row, column).

    Summary rows are left out. Values that are equal as shown share a rank. A column with one number
    has no best.
    """
    found: dict[tuple[int, int], int] = {}
    for place, column in enumerate(table.columns):
        if not column.best:
            continue
        sign = -1 if column.best == "max" else 1
        rounded = [(r, _rounded(row, place, column)) for r, row in enumerate(table.rows) if not row.summary]
        numbers = [(r, sign * number) for r, number in rounded if number is not None]
        steps = sorted({number for _, number in numbers})[:2]
        if len(numbers) > 1:
            found |= {(r, place): steps.index(number) + 1 for r, number in numbers if number in steps}
    return found


def _rounded(row: Row, place: int, column: Column) -> float | None:
    value = row.values[place]
    return None if value is None or isinstance(value.value, str) else float(fixed(value.value, column.digits))


def chosen(tables: Sequence[Table], keys: Sequence[str]) -> list[Table]:
    """The tables of the given keys in their order; all for `all`; without keys all but the volatile ones.

    Raises UnknownNameError for a key that no table has.
    """
    if "all" in keys:
        return list(tables)
    if not keys:
        return [table for table in tables if table.key not in VOLATILE]
    known = {table.key: table for table in tables}
    for key in keys:
        if key not in known:
            raise UnknownNameError("table", key, [*known, "all"])
    return [known[key] for key in keys]
