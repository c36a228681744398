"""Tables as notebooks, terminals and Python code read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from mmdbench.errors import UnknownNameError
from mmdbench.library.frames import NUMBER_COLUMNS, arrow_table, data_frame
from mmdbench.report.render.console import grid, interval
from mmdbench.report.render.csv_parquet import table_records
from mmdbench.report.render.markdown import markdown_table, markdown_text
from mmdbench.report.tables.table import Column, Table, Value, shown
from mmdbench.system.printable import log_line

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from rich.console import RenderableType

__all__ = ["Origin", "ShownTable", "TableSet", "Value"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The rules that the numbers of a table are by, and the notes that limit them."""

    protocol: str
    design: str
    notes: tuple[str, ...] = ()


class ShownTable:
    """One table: shown by notebooks, printed as text, and read number by number.

    `table["AVG", "hard"]` is the `Value` in a row and a column: its `value`, unrounded, with `low`, `high`
    and `n`. Rows and columns have the names that are shown; several labels of a row are a tuple.
    """

    def __init__(self, table: Table, origin: Origin) -> None:
        self._table, self._origin = table, origin

    @property
    def key(self) -> str:
        """The table's name in `run.tables` and in options."""
        return self._table.key

    @property
    def title(self) -> str:
        """The table's title."""
        return self._table.title

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes that limit the numbers."""
        return self._origin.notes

    def __getitem__(self, place: tuple[str | tuple[str, ...], str]) -> Value | None:
        wanted, column = place
        labels = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        names = [c.name for c in self._table.columns]
        if column not in names:
            raise UnknownNameError(f"column of the table {self.key}:", column, names)
        for row in self._table.rows:
            if row.labels == labels:
                return row.values[names.index(column)]  # noqa: PD011
        known = [" / ".join(row.labels) for row in self._table.rows]
        raise UnknownNameError(f"row of the table {self.key}:", " / ".join(labels), known)

    def rows(self) -> list[dict[str, Any]]:
        """One dict for each number, with the keys of `NUMBER_COLUMNS`."""
        origin = self._origin
        return list(table_records(self._table, origin.protocol, origin.design, origin.notes))

    def frame(self) -> pd.DataFrame:
        """The rows as a data frame."""
        return data_frame(self.rows(), NUMBER_COLUMNS)

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table. Raises MissingExtraError without pyarrow."""
        return arrow_table(self.rows(), NUMBER_COLUMNS)

    def markdown(self) -> str:
        """The table as Markdown, with the notes."""
        notes = "".join(f"\n- {markdown_text(note)}" for note in self.notes)
        return markdown_table(self._table) + (f"\n{notes}" if notes else "") + "\n"

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _repr_html_(self) -> str:
        heads = [*self._table.labels, *(column.name for column in self._table.columns)]
        rows = [_html_row([*map(_head, heads)])]
        for row in self._table.rows:
            cells = zip(row.values, self._table.columns, strict=True)
            rows.append(_html_row([*map(_head, row.labels), *(_cell(v, column) for v, column in cells)]))
        notes = "".join(f"<li>{_html(note)}</li>" for note in self.notes)
        return (
            f"<table><caption>{_html(self.title)}</caption>{''.join(rows)}</table>"
            f"<p>{_html(self._table.caption)}</p>" + (f"<ul>{notes}</ul>" if notes else "")
        )

    def __rich__(self) -> RenderableType:
        return grid(self._table)

    def __repr__(self) -> str:
        from mmdbench.library.screen import plain_text

        return plain_text(self)


class TableSet(Mapping[str, ShownTable]):
    """Tables by their keys, in the order in which they are shown."""

    def __init__(self, tables: Sequence[Table], origin: Origin) -> None:
        self._tables, self._origin = {table.key: table for table in tables}, origin

    def __getitem__(self, key: str) -> ShownTable:
        if key not in self._tables:
            raise UnknownNameError("table", key, list(self))
        return ShownTable(self._tables[key], self._origin)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __contains__(self, key: object) -> bool:
        return key in self._tables

    def __repr__(self) -> str:
        return f"TableSet({', '.join(self)})"


def _html_row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _head(text: str) -> str:
    return f"<th>{_html(text)}</th>"


def _cell(value: Value | None, column: Column) -> str:
    known = interval(value, column.digits) if value is not None and column.intervals else ""
    return f"<td>{_html(shown(value, column))}{f' <small>{known}</small>' if known else ''}</td>"


def _html(text: str) -> str:
    return escape(log_line(text))
