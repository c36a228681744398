r"""A reader of benchmark TSVs in one pass, in memory that does not grow with the images.

Short cells are kept as text; long ones (images) stay in the file and are read when they are needed.
The offset of every cell is kept, so that a writer can copy it byte for byte.

The format: tabs between cells, `\n` or `\r\n` between rows, UTF-8 with or without BOM. A cell
that begins with `"` runs to the next quote that is not doubled, over tabs and newlines; text
between that quote and the next tab is kept as it is, like Python's csv module does. A lone
`\r` is text. Lines without any character are skipped.
"""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from mmdbench.benches.option_columns import rename_options
from mmdbench.benches.tsv_table import LongCell, SourceFile, TsvHeader, TsvRow, TsvTable, decode_cell
from mmdbench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ReadLimits", "read_table"]

_BOM = b"\xef\xbb\xbf"
_BUFFER = 1 << 20
_MAX_COLUMNS = 4096

# The longest reference to another row's image: 64 characters of at most 4 bytes, quoted.
_SHORT_IMAGE = 300


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Limits of reading: `row_bytes` is the longest row allowed, `text_bytes` the longest cell to keep."""

    row_bytes: int = 256 << 20
    text_bytes: int = 4096


def read_table(path: Path, *, limits: ReadLimits | None = None) -> TsvTable:
    """Scan a TSV file. Raises DataError that names file, line and column."""
    limits = limits or ReadLimits()
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            state = os.fstat(file.fileno())
            return _scan(file, SourceFile(path, state.st_size, state.st_mtime_ns), limits)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error


def _scan(file: BinaryIO, source: SourceFile, limits: ReadLimits) -> TsvTable:
    _refuse_foreign(file, source.path)
    bom = file.read(3) == _BOM
    if not bom:
        file.seek(0)
    spans = _spans(file, source.path, limits)
    first = next(spans, None)
    if first is None:
        raise DataError(f"{source.path} is empty.")
    header = _header(first, source, bom=bom)
    image = header.position("image")
    rows = []
    for span in spans:
        if len(span.stops) != len(header.names):
            raise _wrong_count(span, header)
        rows.append(_row(span, header, image, limits.text_bytes))
    file.seek(max(source.size - 1, 0))
    return TsvTable(header, tuple(rows), file.read(1) == b"\n")


class _Span(NamedTuple):
    """A row's bytes, their offset in the file, and the end of each cell in them."""

    line: int
    offset: int
    data: bytes | bytearray
    stops: list[int]
    newline: bytes


def _spans(file: BinaryIO, path: Path, limits: ReadLimits) -> Iterator[_Span]:
    offset, line, most = file.tell(), 1, _MAX_COLUMNS
    data: bytes | bytearray
    while data := file.readline(limits.row_bytes + 1):
        lines = 1
        stops: list[int] = []
        if b'"' in data:
            data, stops, lines = _quoted_row(data, file, most, f"{path}, line {line}", limits.row_bytes)
        if len(data) > limits.row_bytes:
            raise DataError(
                f"{path}, line {line}: a row of more than {limits.row_bytes >> 20} MiB.",
                hint="Is this a TSV file, and are its quotes closed?",
            )
        newline = b"\r\n" if data.endswith(b"\r\n") else b"\n" if data.endswith(b"\n") else b""
        end = len(data) - (len(newline) or data.endswith(b"\r"))
        if end:
            yield _Span(line, offset, data, [*stops[:-1], end] if stops else _stops(data, end, most), newline)
        offset += len(data)
        line += lines


def _stops(data: bytes | bytearray, end: int, most: int) -> list[int]:
    stops: list[int] = []
    start = 0
    while (stop := data.find(b"\t", start, end)) >= 0 and len(stops) <= most:
        stops.append(stop)
        start = stop + 1
    stops.append(end)
    return stops


def _quoted_row(
    first: bytes, file: BinaryIO, most: int, where: str, limit: int
) -> tuple[bytes | bytearray, list[int], int]:
    """The row that begins with the line `first`, the ends of its cells, and its number of lines."""
    data: bytes | bytearray = first
    stops: list[int] = []
    position, lines = 0, 1
    while len(stops) <= most:
        if data[position : position + 1] == b'"':
            position += 1
            while (close := _closing_quote(data, position)) < 0:
                position = len(data)
                more = file.readline(limit + 1) if len(data) <= limit else b""
                if not more:
                    raise DataError(
                        f"{where}: a quote that opens in column {len(stops) + 1} is never closed.",
                        hint="The file may be incomplete, "
                        "or a cell that begins with a quote does not double its quotes.",
                    )
                data = data if isinstance(data, bytearray) else bytearray(data)
                data += more
                lines += 1
            position = close
        tab = data.find(b"\t", position)
        if tab < 0:
            break
        stops.append(tab)
        position = tab + 1
    stops.append(len(data))
    return data, stops, lines


def _closing_quote(data: bytes | bytearray, position: int) -> int:
    """The position after the closing quote; -1 if there is none yet."""
    while (quote := data.find(b'"', position)) >= 0:
        if data[quote + 1 : quote + 2] != b'"':
            return quote + 1
        position = quote + 2
    return -1


def _header(span: _Span, source: SourceFile, *, bom: bool) -> TsvHeader:
    columns = tuple(
        decode_cell(cell, source.path, span.line, "header") for cell in _cut(span.data, span.stops)
    )
    if len(columns) > _MAX_COLUMNS:
        raise DataError(f"{source.path}, line {span.line}: more than {_MAX_COLUMNS} columns.")
    if len(columns) == 1 and columns[0].count(",") > 1:
        raise DataError(
            f"{source.path}: one column only; its cells seem to be separated by commas, not tabs."
        )
    for number, name in enumerate(columns):
        if name and name in columns[:number]:
            raise DataError(f"{source.path}, line {span.line}: the column {name!r} is there twice.")
    names = tuple(n if len(n) == 1 and "A" <= n <= "Z" else n.lower() for n in columns)
    # Where `Category` and `category` both exist, the latter is the column of that name.
    names = tuple(c if n != c and n in columns else n for n, c in zip(names, columns, strict=True))
    names = rename_options(names)
    return TsvHeader(source, names, columns, bytes(span.data[: span.stops[-1]]), span.newline or b"\n", bom)


def _row(span: _Span, header: TsvHeader, image: int | None, text_bytes: int) -> TsvRow:
    data, offset = span.data, span.offset
    bounds = array("q", [offset])
    cells: list[str | LongCell] = []
    start = 0
    for number, stop in enumerate(span.stops):
        bounds.append(offset + stop + 1)
        if stop - start > (_SHORT_IMAGE if number == image else text_bytes):
            cells.append(LongCell(offset + start, stop - start, bytes(data[start : start + 32])))
        else:
            raw = bytes(data[start:stop])
            cells.append(decode_cell(raw, header.source.path, span.line, header.columns[number]))
        start = stop + 1
    return TsvRow(header, span.line, bounds, tuple(cells))


def _cut(data: bytes | bytearray, stops: list[int]) -> Iterator[bytes]:
    start = 0
    for stop in stops:
        yield bytes(data[start:stop])
        start = stop + 1


def _wrong_count(span: _Span, header: TsvHeader) -> DataError:
    count, expected = len(span.stops), len(header.names)
    shown = f"more than {_MAX_COLUMNS}" if count > _MAX_COLUMNS else str(count)
    return DataError(
        f"{header.source.path}, line {span.line}: {shown} cells, but the header has {expected} columns.",
        hint="A tab or newline inside a cell needs quotes around the cell; the file may also be incomplete.",
    )


def _refuse_foreign(file: BinaryIO, path: Path) -> None:
    """Raise DataError for kinds of files that are often mistaken for a TSV."""
    head = file.read(256)
    file.seek(0)
    start = head.removeprefix(_BOM).lstrip().lower()
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is UTF-16 text.", hint="Save the file as UTF-8.")
    if head[:2] == b"\x1f\x8b" or head[:4] in (b"PK\x03\x04", b"PAR1"):
        raise DataError(
            f"{path} is a compressed or Parquet file, not a TSV.", hint="Unpack or convert it first."
        )
    if start.startswith((b"<!doctype html", b"<html")):
        raise DataError(
            f"{path} is a web page, not a TSV.",
            hint="Delete it and download again; on huggingface.co the link needs /resolve/, not /blob/.",
        )
    if start.startswith(b"version https://git-lfs"):
        raise DataError(f"{path} is a Git LFS pointer, not the file.", hint="Run: git lfs pull")
