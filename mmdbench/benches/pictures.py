"""The pictures of a whole table: each row's own, or those of the row that it refers to."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from mmdbench.benches.cells import find_images, is_reference
from mmdbench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mmdbench.benches.table import Row, Table
    from mmdbench.records import ImageSource, Index

__all__ = ["table_images"]


def table_images(table: Table, indices: Sequence[Index]) -> list[tuple[ImageSource, ...]]:
    """The pictures of every row, in order; none where the cell is empty.

    Rows that share a picture share the very same source. Raises DataError for a reference to
    no row, to a row without a picture, or to a row that itself refers on.
    """
    find_file = partial(_find_file, table.header.source.path)
    own = [find_images(row, index, find_file) for row, index in zip(table.rows, indices, strict=True)]
    column = table.header.position("image")
    if column is None:
        return own
    places = {str(index): number for number, index in enumerate(indices)}
    found = []
    for number, row in enumerate(table.rows):
        cell = row.cells[column]
        if isinstance(cell, str) and is_reference(cell):
            where = f"{row.where('image')}, index {indices[number]}"
            found.append(own[_referred(cell, where, places, table.rows, column)])
        else:
            found.append(own[number])
    return found


def _referred(cell: str, where: str, places: Mapping[str, int], rows: Sequence[Row], column: int) -> int:
    place = places.get(cell, places.get(_plain_integer(cell)))
    if place is None:
        raise DataError(
            f"{where}: {cell!r} is short, so it should name another row by its index; there is none.",
            hint="A picture is base64 text; for picture files use a column image_path.",
        )
    other = rows[place].cells[column]
    if not other or is_reference(other):
        problem = "refers on" if other else "has no picture"
        raise DataError(f"{where}: it refers to index {cell} in line {rows[place].line}, which {problem}.")
    return place


def _plain_integer(cell: str) -> str:
    """`007` names the row 7 where indices are integers."""
    digits = cell.removeprefix("-")
    return str(int(cell)) if digits.isascii() and digits.isdecimal() else cell


def _find_file(tsv: Path, name: str) -> Path | None:
    """Beside the TSV, in its folder `images`, or there in a folder named like the TSV."""
    for folder in (tsv.parent, tsv.parent / "images", tsv.parent / "images" / tsv.stem):
        with suppress(OSError, ValueError):
            if (folder / name).is_file():
                return folder / name
    return None
