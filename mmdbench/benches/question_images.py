"""The images of each row: base64 text, data URIs, lists of them, files beside the TSV, references."""

from __future__ import annotations

import ast
import binascii
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from mmdbench.benches.tsv_table import LongCell, TsvRow, TsvTable, unquote
from mmdbench.errors import DataError, ImageDecodeError
from mmdbench.system.base64_text import decode_strict
from mmdbench.system.files import MANIFEST_FILE, cannot_open_more
from mmdbench.system.inner_paths import inner_path, path_within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mmdbench.records import ImageSource, Index

__all__ = [
    "CellImage",
    "FileImage",
    "MissingImage",
    "decode_text",
    "find_picture_file",
    "is_reference",
    "split_list",
    "table_images",
]

REFERENCE_CHARACTERS = 64
"""An image cell of at most this many characters is the index of a row that has the same image."""

_DATA_URI = re.compile(rb"data:[^,]{0,200},", re.IGNORECASE)
_QUOTED = {b'"': re.compile(rb'\s*"([^"\\]*)"\s*'), b"'": re.compile(rb"\s*'([^'\\]*)'\s*")}


@dataclass(frozen=True, slots=True)
class CellImage:
    """An image in a cell of the TSV, read from the file each time; `part` is its place in a list, from 0."""

    row: TsvRow
    index: Index
    part: int | None = None

    @property
    def where(self) -> str:
        """File, line, column and index, for messages."""
        return _where(self.row, "image", self.index, self.part)

    def read(self) -> bytes:
        """The encoded image. Raises ImageDecodeError if the cell is not base64."""
        text = unquote(self.row.raw("image"))
        if self.part is not None:
            text = split_list(text, self.where)[self.part]
        return decode_text(text, self.where)


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image in a file of its own, which the column `image_path` names."""

    path: Path
    row: TsvRow
    index: Index
    part: int | None = None

    @property
    def where(self) -> str:
        """The image's path, and the file, line, column and index that name it."""
        return f"{self.path} ({_where(self.row, 'image_path', self.index, self.part)})"

    def read(self) -> bytes:
        """The file's bytes. Raises ImageDecodeError if it cannot be read, StoreError if too many are open."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise cannot_open_more(self.path, error) or ImageDecodeError(
                f"Cannot read {self.where}: {error.strerror}."
            ) from error


@dataclass(frozen=True, slots=True)
class MissingImage:
    """The image that a row should have: an empty cell, a file that is not there, a reference to nothing."""

    where: str
    reason: str
    hint: str = ""

    def read(self) -> bytes:
        """No bytes: raises ImageDecodeError with the place and the reason."""
        raise ImageDecodeError(self.reason, hint=self.hint)


def table_images(
    table: TsvTable, indices: Sequence[Index], image_root: Path | None = None
) -> list[tuple[ImageSource, ...]]:
    """The images of every row, in order: a MissingImage for a row that has none.

    A row that refers to another one has the same source objects. A reference to a missing row, to a
    row without an image, or to another reference is none.

    Args:
        table: The rows.
        indices: The index of each.
        image_root: A folder that image files may be in beside the TSV's; names may be relative to it.

    Returns:
        The images of each row.

    Raises:
        DataError: No row has an image.
    """
    tsv = table.header.source.path
    more = ("images", f"images/{tsv.stem}")
    find_file = partial(find_picture_file, folder=tsv.parent, more=more, root=image_root)
    column = table.header.position("image")
    places = {str(index): number for number, index in enumerate(indices)}
    own: list[tuple[ImageSource, ...]] = []
    for row, index in zip(table.rows, indices, strict=True):
        own.append(_or_missing(row, index, lambda r, i: _own_images(r, i, find_file)))
    found = list(own)
    if column is not None:
        for number, (row, index) in enumerate(zip(table.rows, indices, strict=True)):
            cell = row.cells[column]
            if isinstance(cell, str) and is_reference(cell):
                found[number] = _or_missing(row, index, lambda r, i: own[_referred(r, i, places, table.rows)])
    first = found[0][0] if found else None
    if isinstance(first, MissingImage) and all(isinstance(images[0], MissingImage) for images in found):
        raise DataError(f"No row has a picture. {first.reason}", hint=first.hint)
    return found


def _or_missing(
    row: TsvRow, index: Index, find: Callable[[TsvRow, Index], tuple[ImageSource, ...]]
) -> tuple[ImageSource, ...]:
    where = _where(row, "image" if row.header.position("image") is not None else "image_path", index, None)
    try:
        return find(row, index) or (MissingImage(where, f"{where}: the row has no picture."),)
    except DataError as error:
        return (MissingImage(where, error.message, error.hint),)


def is_reference(cell: str | LongCell) -> bool:
    """True if an image cell is the index of another row: short, not a list, not a data URI."""
    if isinstance(cell, LongCell) or not cell or _is_list(cell):
        return False
    return len(cell) <= REFERENCE_CHARACTERS and cell[:5].lower() != "data:"


def split_list(text: bytes, where: str) -> list[bytes]:
    """The texts of a JSON or Python list of texts. Raises DataError for anything else."""
    body = text.strip()
    if body[:1] != b"[" or body[-1:] != b"]":
        raise DataError(f"{where}: a list that has no closing bracket.")
    found = _split_plain(body)
    if found is not None:
        return found
    for parse in (json.loads, ast.literal_eval):
        try:
            values = parse(body.decode())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(values, list) and all(isinstance(v, str) for v in values):
            return [v.encode("utf-8", "replace") for v in values]
    raise DataError(f"{where}: not a list of texts.", hint='Write it as ["…", "…"].')


def decode_text(text: bytes, where: str) -> bytes:
    """The bytes of base64 text or a data URI; white space and missing padding are accepted."""
    match = _DATA_URI.match(text)
    if match:
        if b";base64," not in match.group().lower():
            return unquote_to_bytes(text[match.end() :])
        text = text[match.end() :]
    with suppress(binascii.Error):  # what most cells hold, read fast
        return decode_strict(text)
    text = text.translate(None, b" \t\r\n")
    text += b"=" * (-len(text) % 4)
    try:
        data = binascii.a2b_base64(text)
    except binascii.Error as error:
        raise ImageDecodeError(f"{where}: not base64 ({error}).") from error
    # The decoder skips other characters silently; the length shows it.
    if len(data) != len(text) // 4 * 3 - text[-2:].count(b"="):
        raise ImageDecodeError(f"{where}: not base64 (it holds other characters).")
    return data


def _split_plain(body: bytes) -> list[bytes] | None:
    """Split a list of quoted texts without escapes, which is fast; None if it is not so simple."""
    if b"\\" in body:
        return None
    found: list[bytes] = []
    position, end = 1, len(body) - 1
    while position < end:
        quote = body[position : position + 1]
        if quote.isspace() or (quote == b"," and found):
            position += 1
            continue
        close = body.find(quote, position + 1, end) if quote in (b'"', b"'") else -1
        if close < 0:
            return None
        found.append(body[position + 1 : close])
        position = close + 1
    return found


def _is_list(cell: str | LongCell) -> bool:
    if isinstance(cell, LongCell):
        return cell.head.lstrip(b'"').lstrip().startswith(b"[")
    text = cell.strip()
    return text.startswith("[") and text.endswith("]")


def _files(row: TsvRow, index: Index, find_file: Callable[[str], Path | None]) -> tuple[ImageSource, ...]:
    text = row.text("image_path")
    if not text:
        return ()
    if not _is_list(text):
        names: list[str] = [text]
    else:
        where = _where(row, "image_path", index, None)
        names = [name.decode("utf-8", "replace") for name in split_list(text.encode(), where)]
    found: list[ImageSource] = []
    for part, name in enumerate(names):
        number = part if len(names) > 1 else None
        try:
            path = find_file(name)
        except DataError as error:
            where = _where(row, "image_path", index, number)
            raise DataError(f"{where}: {error.message}", hint=error.hint) from None
        if path is None:
            raise DataError(
                f"{_where(row, 'image_path', index, number)}: there is no file {name!r}.",
                hint="Paths are relative to the TSV's folder, to 'images' in it, or to --image-root.",
            )
        found.append(FileImage(path, row, index, number))
    return tuple(found)


def _where(row: TsvRow, column: str, index: Index, part: int | None) -> str:
    place = f"{row.where(column)}, index {index}"
    return place if part is None else f"{place}, image {part + 1}"


def _referred(row: TsvRow, index: Index, places: Mapping[str, int], rows: Sequence[TsvRow]) -> int:
    where, cell = _where(row, "image", index, None), row.text("image")
    column = row.header.names.index("image")
    place = places.get(cell, places.get(_plain_integer(cell)))
    if place is None:
        raise DataError(
            f"{where}: {cell!r} is short, so it must be the index of another row; there is none.",
            hint="An image is base64 text; for image files use a column image_path.",
        )
    other = rows[place].cells[column]
    if not other or is_reference(other):
        problem = "is a reference, too" if other else "has no image"
        raise DataError(f"{where}: it refers to index {cell} in line {rows[place].line}, which {problem}.")
    return place


def _plain_integer(cell: str) -> str:
    """An integer without leading zeros: `007` means row 7."""
    digits = cell.removeprefix("-")
    return str(int(cell)) if digits.isascii() and digits.isdecimal() else cell


def find_picture_file(
    name: str, folder: Path, *, more: Sequence[str] = (), root: Path | None = None
) -> Path | None:
    """The image file that a table names; links are followed, except in the folder of a build or a run.

    Args:
        name: The name: a path relative to one of the folders, or an absolute one in one of them.
        folder: The table's folder.
        more: Folders in that folder which are searched after it.
        root: Another folder that image files may be in, which is searched last.

    Returns:
        The path, None if there is no such file.

    Raises:
        DataError: The name leads out of the folder and the root, or over a link that is not followed.
    """
    roots = [folder, *([root] if root else [])]
    over_link: DataError | None = None
    for place in (folder, *(folder / inner for inner in more), *roots[1:]):
        for inside in roots:
            path = path_within(inside, place / name)
            with suppress(OSError, ValueError):
                if path is None or not path.is_file():
                    continue
                try:
                    return path if inside is root else _own_file(path, folder)
                except DataError as error:
                    over_link = error
    if over_link is not None:
        raise over_link
    if not any(path_within(root, place / name) for place in roots for root in roots):
        raise DataError(
            f"{name!r} is outside the folder {folder}.",
            hint="Name the folder that the pictures are in: --image-root DIR.",
        )
    return None


def _own_file(path: Path, folder: Path) -> Path:
    """The file; in a folder that a manifest describes, no part of its path may be a link."""
    if not (folder / MANIFEST_FILE).exists():
        return path
    return inner_path(folder, path.relative_to(folder).as_posix(), "A row", DataError)


def _own_images(
    row: TsvRow, index: Index, find_file: Callable[[str], Path | None]
) -> tuple[ImageSource, ...]:
    """The images that a row holds itself, in order; none for an empty cell or a reference."""
    position = row.header.position("image")
    if position is not None:
        cell = row.cells[position]
        if not cell or is_reference(cell):
            return ()
        if not _is_list(cell):
            return (CellImage(row, index),)
        where = _where(row, "image", index, None)
        count = len(split_list(unquote(row.raw("image")), where))
        return tuple(CellImage(row, index, part) for part in range(count))
    return _files(row, index, find_file)
