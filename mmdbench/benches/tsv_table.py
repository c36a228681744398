"""A TSV that was scanned: the offset of every cell in its file, and short cells as text."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from mmdbench.errors import DataError

if TYPE_CHECKING:
    from array import array
    from pathlib import Path

__all__ = ["LongCell", "SourceFile", "TsvHeader", "TsvRow", "TsvTable", "decode_cell", "unquote"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file in the state in which it was scanned; every read checks that it has not changed.

    There is no open handle, so any number of threads can use it, and it can be pickled.
    """

    path: Path
    size: int
    mtime_ns: int

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`. Raises DataError if the file changed since the scan."""
        try:
            with self.path.open("rb", buffering=0) as file:
                state = os.fstat(file.fileno())
                if (state.st_size, state.st_mtime_ns) == (self.size, self.mtime_ns):
                    file.seek(offset)
                    data = _read_fully(file, length)
                    if len(data) == length:
                        return data
        except OSError as error:
            raise DataError(f"Cannot read {self.path}: {error.strerror}.") from error
        raise DataError(f"{self.path} changed while it was in use.", hint="Run the command again.")


@dataclass(frozen=True, slots=True)
class LongCell:
    """A cell that was left in the file; `head` is its first bytes, quote included."""

    offset: int
    length: int
    head: bytes


@dataclass(frozen=True, slots=True)
class TsvHeader:
    r"""The first row: `names` as mmdbench uses them, `columns` as the file spells them.

    Names are lower-cased, except the single capitals A..Z; other spellings of options' columns are such
    capitals in `names`. `raw` is the row's bytes without
    BOM and newline; `newline` is the file's style, b"\n" or b"\r\n".
    """

    source: SourceFile
    names: tuple[str, ...]
    columns: tuple[str, ...]
    raw: bytes
    newline: bytes
    bom: bool

    def position(self, column: str) -> int | None:
        """The position of a column, from 0; None if there is no such column."""
        return _positions(self.names).get(column)


@dataclass(frozen=True, slots=True)
class TsvRow:
    """One row: its first line in the file (from 1), its cells, and where their bytes are."""

    header: TsvHeader = field(repr=False)
    line: int
    bounds: array[int] = field(repr=False, compare=False)
    cells: tuple[str | LongCell, ...] = field(repr=False, compare=False)

    def text(self, column: str) -> str:
        """The cell's text, unquoted; empty if the column is missing. Long cells are read now."""
        position = self.header.position(column)
        if position is None:
            return ""
        cell = self.cells[position]
        if isinstance(cell, str):
            return cell
        return decode_cell(self.raw(column), self.header.source.path, self.line, column)

    def raw(self, column: str) -> bytes:
        """The cell's bytes in the file, quotes included."""
        position = self._position(column)
        start = self.bounds[position]
        return self.header.source.read(start, self.bounds[position + 1] - 1 - start)

    def split_at(self, column: str) -> tuple[bytes, bytes]:
        """The row's bytes before and after the cell, tabs included, without the newline.

        `before + new + after` is the same row with another cell there.
        """
        position = self._position(column)
        first, last = self.bounds[0], self.bounds[-1] - 1
        start, stop = self.bounds[position], self.bounds[position + 1] - 1
        read = self.header.source.read
        return read(first, start - first), read(stop, last - stop)

    def where(self, column: str = "") -> str:
        """File, line and column, for messages."""
        place = f"{self.header.source.path}, line {self.line}"
        return f"{place}, column {column!r}" if column else place

    def _position(self, column: str) -> int:
        position = self.header.position(column)
        if position is None:
            raise DataError(f"{self.header.source.path} has no column {column!r}.")
        return position


@dataclass(frozen=True, slots=True)
class TsvTable:
    """A TSV that was scanned: its header and its rows, in the order of the file."""

    header: TsvHeader
    rows: tuple[TsvRow, ...]
    ends_with_newline: bool


def unquote(raw: bytes) -> bytes:
    """A cell without its quotes; a quote that is never closed extends to the end.

    >>> unquote(b'"a ""b"" c"')
    b'a "b" c'
    """
    if raw[:1] != b'"':
        return raw
    close = raw.find(b'"', 1)
    if close == len(raw) - 1:
        return raw[1:-1]
    while close >= 0 and raw[close + 1 : close + 2] == b'"':
        close = raw.find(b'"', close + 2)
    if close < 0:
        return raw[1:].replace(b'""', b'"')
    return raw[1:close].replace(b'""', b'"') + raw[close + 1 :]


def decode_cell(data: bytes, path: Path, line: int, column: str) -> str:
    """A cell's text, unquoted.

    Args:
        data: The cell's bytes in the file.
        path: The file, for messages.
        line: The row's first line, from 1, for messages.
        column: The column, for messages.

    Returns:
        The text.

    Raises:
        DataError: A byte is not UTF-8.
    """
    try:
        return unquote(data).decode()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            f"{path}, line {line}, column {column!r}: byte 0x{byte:02x} is not UTF-8.",
            hint="Save the file as UTF-8.",
        ) from error


def _read_fully(file: BinaryIO, length: int) -> bytes:
    # One unbuffered read gives at most 2 GiB, and less if a signal interrupts it.
    data = file.read(length)
    while len(data) < length and (more := file.read(length - len(data))):
        data += more
    return data


@lru_cache(maxsize=64)
def _positions(names: tuple[str, ...]) -> dict[str, int]:
    return {name: number for number, name in reversed(list(enumerate(names))) if name}
