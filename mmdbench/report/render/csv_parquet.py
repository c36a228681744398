"""Tables as CSV and Parquet, with one record for each number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmdbench.errors import MissingExtraError
from mmdbench.report.tables.collect import Tables
from mmdbench.report.tables.table import Table, chosen
from mmdbench.system.files import cannot_write
from mmdbench.system.printable import log_line

__all__ = ["FIELDS", "as_csv", "csv_text", "records", "table_records", "write_parquet"]

FIELDS = (
    *("table", "row", "column", "unit", "value", "text", "low", "high", "n", "mark"),
    *("protocol", "design", "notes"),
)

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def records(tables: Tables, keys: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """One record for each number, unrounded: its table, row (labels joined by " / "), column and interval.

    Each names the protocol, the design with its weighting, and all notes of the report (joined by " | "),
    so that a record can be read alone.
    """
    for table in chosen(tables.tables, keys):
        yield from table_records(table, tables.header["protocol"], tables.header["design"], tables.notes)


def table_records(table: Table, protocol: str, design: str, notes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The records of one table.

    Args:
        table: The table.
        protocol: The protocol that its scores are by.
        design: The design of its run, with its weighting.
        notes: The notes that limit its numbers.

    Yields:
        One dict for each number, with the keys of `FIELDS`.
    """
    for row in table.rows:
        section = f"{row.section} / " if row.summary and row.section not in ("", *row.labels) else ""
        for column, value in zip(table.columns, row.values, strict=True):
            if value is None:
                continue
            number = None if isinstance(value.value, str) else float(value.value)
            text = value.value if isinstance(value.value, str) else None
            place = (table.key, section + " / ".join(row.labels), column.name or table.key, column.unit)
            numbers = (number, text, value.low, value.high, value.n, value.mark)
            rules = (protocol, design, " | ".join(notes))
            yield dict(zip(FIELDS, (*place, *numbers, *rules), strict=True))


def as_csv(tables: Tables, keys: Sequence[str] = ()) -> str:
    """The records as CSV with a header line; texts as `csv_text` writes them."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    writer.writeheader()
    for record in records(tables, keys):
        writer.writerow({k: csv_text(v) if isinstance(v, str) else v for k, v in record.items()})
    return buffer.getvalue()


def csv_text(text: str) -> str:
    r"""A text as a cell of one line; an apostrophe stands before what a spreadsheet takes for a formula.

    >>> csv_text("=1+1"), csv_text("@a\tb"), csv_text("-1.5"), csv_text("a-b")
    ("'=1+1", "'@a b", '-1.5', 'a-b')
    """
    line = log_line(text)
    return f"'{line}" if line.lstrip().startswith(_FORMULA) and not _is_number(line) else line


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write_parquet(tables: Tables, path: Path, keys: Sequence[str] = ()) -> None:
    """Write the records as a Parquet file, with the report's header in its metadata.

    Args:
        tables: The tables of a report.
        path: The file to write.
        keys: Only these tables; see `chosen`.

    Raises:
        MissingExtraError: pyarrow is not installed.
        StoreError: The file cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("pyarrow, which writes Parquet,", "parquet") from error
    kinds = {"value": pa.float64(), "low": pa.float64(), "high": pa.float64(), "n": pa.int64()}
    schema = pa.schema(
        [(name, kinds.get(name, pa.string())) for name in FIELDS], metadata=dict(tables.header)
    )
    try:
        pq.write_table(pa.Table.from_pylist(list(records(tables, keys)), schema=schema), path)
    except OSError as error:
        raise cannot_write(path, error) from error
