"""Tables of a report as notebooks and Python code read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

from mmdbench.errors import UnknownNameError
from mmdbench.library.frames import NUMBER_COLUMNS, arrow_table, data_frame
from mmdbench.report.render.csv_parquet import records
from mmdbench.report.render.markdown import markdown_table
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import Table, Value, shown

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["ShownTable", "TableSet"]


class ShownTable:
    """One table: shown by notebooks, printed as text, and read number by number.

    `table["AVG", "hard"]` is the `Value` in a row and a column: its `value`, unrounded, with `low`, `high`
    and `n`. Rows and columns have the names that are shown; several labels of a row are a tuple. `notes` are
    those of the report, which limit its numbers.
    """

    def __init__(self, tables: Tables, table: Table) -> None:
        self._tables, self._table = tables, table

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
        """The notes of the report."""
        return self._tables.notes

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
        """One dict for each number, with the columns of `NUMBER_COLUMNS`."""
        return list(records(replace(self._tables, tables=(self._table,)), [self.key]))

    def frame(self) -> pd.DataFrame:
        """The rows as a data frame."""
        return data_frame(self.rows(), NUMBER_COLUMNS)

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table. Raises MissingExtraError without pyarrow."""
        return arrow_table(self.rows(), NUMBER_COLUMNS)

    def markdown(self) -> str:
        """The table as Markdown, with the notes of the report."""
        notes = "".join(f"\n- {note}" for note in self.notes)
        return markdown_table(self._table) + (f"\n{notes}" if notes else "") + "\n"

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(c)}</th>" for c in (*self._table.labels, *self._column_names()))
        body = "".join(
            "<tr>"
            + "".join(f"<th>{escape(label)}</th>" for label in row.labels)
            + "".join(
                f"<td>{escape(_with_interval(value, shown(value, column)))}</td>"
                for value, column in zip(row.values, self._table.columns, strict=True)
            )
            + "</tr>"
            for row in self._table.rows
        )
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        caption = f"<caption>{escape(self.title)}</caption>"
        foot = f"<p>{escape(self._table.caption)}</p>" + (f"<ul>{notes}</ul>" if notes else "")
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{foot}"

    def __repr__(self) -> str:
        from mmdbench.library.screen import Screen
        from mmdbench.report.render.console import grid

        text = StringIO()
        Screen(file=text, width=100).print(grid(self._table))
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    def _column_names(self) -> list[str]:
        return [column.name for column in self._table.columns]


class TableSet(Mapping[str, ShownTable]):
    """All tables of a report by their keys: `run.tables["drops"]`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def __getitem__(self, key: str) -> ShownTable:
        found = self._tables.find(key)
        if found is None:
            raise UnknownNameError("table", key, list(self))
        return ShownTable(self._tables, found)

    def __iter__(self) -> Iterator[str]:
        return (table.key for table in self._tables.tables)

    def __len__(self) -> int:
        return len(self._tables.tables)

    def __contains__(self, key: object) -> bool:
        return any(table.key == key for table in self._tables.tables)

    def __repr__(self) -> str:
        return f"TableSet({', '.join(self)})"


def _with_interval(value: Value | None, text: str) -> str:
    from mmdbench.report.render.console import interval

    known = "" if value is None or isinstance(value.value, str) else interval(value, 1)
    return f"{text} [{known}]" if known else text
