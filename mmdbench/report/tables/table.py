"""Tables as data: labelled rows of unrounded values, and columns with unit and decimals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.stats import Estimate
from mmdbench.stats.rounding import cut, fixed

__all__ = [
    "LEAST",
    "MARK",
    "PRINTED",
    "VOLATILE",
    "Best",
    "Column",
    "Row",
    "Table",
    "Value",
    "as_record",
    "chosen",
    "marked",
    "ranks",
    "shown",
    "value_of",
]

MARK = "†"
"""The mark of a difference that rests on an incomplete run."""

LEAST = 5
"""Number of questions below which a row of a breakdown says too little to be shown on its own."""

PRINTED = 2
"""Decimals of points in tables with published results, which are printed so."""

VOLATILE = frozenset({"time", "phases"})
"""Tables that differ between two runs of one plan; they are shown only if they are asked for."""

_PERCEIVE = "a run of the other task: mmdbench eval --task perceive"
_RBENCH = "a run of R-Bench: mmdbench eval --bench R-Bench-Dis"
_NEEDS = {
    "quality": "measured pictures; first run: mmdbench quality RUN",
    "perception": _PERCEIVE,
    "perception-corruptions": _PERCEIVE,
    "perception-chains": _PERCEIVE,
    "false-alarms": _PERCEIVE,
    "rbench": _RBENCH,
    "rbench-relative": _RBENCH,
    "rbench-steps": _RBENCH,
    "rbench-groups": _RBENCH,
    "rbench-distortions": _RBENCH,
    "rbench-published": "published results: mmdbench report paper:r-bench",
    "mce": "a reference before the run: mmdbench report REFERENCE RUN",
    "worst-case": "each question under several corruptions: mmdbench eval --design grid",
    "whole": "a sample of a benchmark: mmdbench eval --sample 200/bench",
    "capabilities": "grades of MM-Vet by a judge; first run: mmdbench score RUN --judge NAME",
    "confidence": "probabilities of the answers' letters, which the model's server must give",
    "cost": "numbers of tokens, which the model's adapter must give",
    "phases": "times of phases, which the model's adapter must give",
    "trigger": "a model that says how often it restored a picture",
    "question-category": "a benchmark with categories of questions",
}
"""Conditions of the tables that not every run has."""

Best = Literal["", "max", "min"]


@dataclass(frozen=True, slots=True)
class Value:
    """An unrounded number with its 95 % interval and number of questions, if it has them; or a text.

    `mark` is shown behind the number: `MARK` if it rests on an incomplete run.
    """

    value: float | str
    low: float | None = None
    high: float | None = None
    n: int | None = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its unit (points, %, count, s …), its decimals when shown, and its best end.

    With `signed`, a positive number is shown with a +. `intervals` is False if its intervals are not
    shown to readers; JSON, CSV and Parquet always hold them. `difference` is True if the numbers compare
    two scores, such as drops: they are marked where a run is incomplete. `rests_on` are the labels of the
    runs behind them, if these are not the model of each row. With `cut`, numbers
    are shown cut, not rounded.
    """

    name: str
    unit: str = "points"
    digits: int = 1
    best: Best = ""
    signed: bool = False
    intervals: bool = True
    difference: bool = False
    rests_on: tuple[str, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its labels, and a value or None for each column.

    A `summary` row is a mean or total of others; rows of one section are shown together. `ids`
    tell the program what the labels stand for, where these are other words.
    """

    labels: tuple[str, ...]
    values: tuple[Value | None, ...]
    summary: bool = False
    section: str = ""
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `key` names it in options and files, `caption` describes its numbers and their weighting.

    `model_at` is the place of the label that names a run or published result, None without one. With
    `across`, the columns that have a best end are models, which are compared within each row.
    """

    key: str
    title: str
    labels: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    across: bool = False
    model_at: int | None = None


def as_record(value: Any) -> dict[str, Any]:
    """A dataclass as a JSON-able dict, without the fields that the program alone reads."""
    hidden = ("id", "ids", "model_at", "rests_on", "covers", "asked", "outside", "cut", "fourth")
    return asdict(value, dict_factory=lambda items: {k: v for k, v in items if k not in hidden})


def value_of(estimate: Estimate | None) -> Value | None:
    """An estimate as a value with its interval."""
    return None if estimate is None else Value(estimate.value, estimate.low, estimate.high, estimate.n)


def shown(value: Value | None, column: Column) -> str:
    """The value as text in all renderings, without its interval; a dash if there is none."""
    if value is None:
        return "–"
    if isinstance(value.value, str):
        return value.value
    text = (cut if column.cut else fixed)(value.value, column.digits)
    if column.unit == "p" and not float(text):
        return f"<{fixed(10**-column.digits, column.digits)}"  # a p-value is never 0
    sign = "+" if column.signed and value.value > 0 and float(text) else ""
    return f"{sign}{text}" + (" %" if column.unit == "%" else "") + value.mark


def ranks(table: Table) -> Mapping[tuple[int, int], int]:
    """1 for the best and 2 for the second of the models that are compared in a cell, by (row, column).

    Models are compared where everything else is equal: within a row of a table `across`, else within
    a column among the rows whose other labels are the same, summaries
    left out. Values that are equal as shown share a rank. A model alone has no rank.
    """
    groups: dict[tuple[object, ...], dict[tuple[int, int], float]] = {}
    for r, row in enumerate(table.rows):
        others = tuple(x for i, x in enumerate(row.ids or row.labels) if i != table.model_at)
        for c, column in enumerate(table.columns):
            number = _rounded(row, c, column)
            compared = table.across or (table.model_at is not None and not row.summary)
            if number is not None and column.best and compared:
                key = (r,) if table.across else (c, *others)
                groups.setdefault(key, {})[r, c] = -number if column.best == "max" else number
    found: dict[tuple[int, int], int] = {}
    for numbers in groups.values():
        steps = sorted(set(numbers.values()))[:2]
        if len(numbers) > 1:
            found |= {cell: steps.index(n) + 1 for cell, n in numbers.items() if n in steps}
    return found


def marked(table: Table, incomplete: AbstractSet[str]) -> Table:
    """The table with `MARK` at every difference that rests on an incomplete run.

    Args:
        table: A table.
        incomplete: The labels of incomplete runs. A number rests on those that its column names, else on its
            row's model; in a table without models it may rest on any of them.

    Returns:
        The table; the same one if no run is incomplete.
    """
    if not incomplete or not any(column.difference for column in table.columns):
        return table

    def rests(row: Row, column: Column) -> bool:
        if column.rests_on or table.model_at is None:
            return not column.rests_on or not incomplete.isdisjoint(column.rests_on)
        return (row.ids or row.labels)[table.model_at] in incomplete

    rows = []
    for row in table.rows:
        values = (
            replace(value, mark=MARK)
            if value is not None and column.difference and rests(row, column)
            else value
            for value, column in zip(row.values, table.columns, strict=True)
        )
        rows.append(replace(row, values=tuple(values)))
    return replace(table, rows=tuple(rows))


def _rounded(row: Row, place: int, column: Column) -> float | None:
    value = row.values[place]
    return None if value is None or isinstance(value.value, str) else float(fixed(value.value, column.digits))


def chosen(tables: Sequence[Table], keys: Sequence[str]) -> list[Table]:
    """The tables of the given keys in their order; all for `all`; without keys all but the volatile ones.

    Raises UnknownNameError for a key that no table has, and UsageError for a table that needs more.
    """
    if "all" in keys:
        return list(tables)
    if not keys:
        return [table for table in tables if table.key not in VOLATILE]
    known = {table.key: table for table in tables}
    for key in keys:
        if key not in known:
            if key in _NEEDS:
                raise UsageError(f"These runs have no table {key!r}.", hint=f"It needs {_NEEDS[key]}.")
            raise UnknownNameError("table", key, [*known, "all"])
    return [known[key] for key in keys]
