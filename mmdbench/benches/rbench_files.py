"""R-Bench's published files, CSV and Parquet, as TSV files that benchmarks are read from.

Both have the columns name, question, choice, answer, type, score, distortion and strength, in 1,485 rows. The
CSV is GB18030 and names its pictures, which are in folders beside it; the Parquet file holds them in the
columns `ref_image` and `dis_image`. A TSV is written once for each kind of picture, into the folder `rbench`
beside the source, and again if the source has changed.
"""

from __future__ import annotations

import base64
import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mmdbench.benches.fetch import data_folders, find_file
from mmdbench.errors import DataError, MissingExtraError
from mmdbench.system.digest import value_digest
from mmdbench.system.files import make_folder, open_atomic

__all__ = ["COLUMNS", "PUBLISHED", "find_published", "published_tsv"]

COLUMNS = ("name", "question", "choice", "answer", "type", "score", "distortion", "strength")
"""The published columns beside the pictures."""

PUBLISHED = ("R-Bench.parquet", "R-Bench.csv", "Ref_Release.csv")
"""Names of the published files with all three tasks, in the order in which they are looked for.

Parts of the first, in a folder, come before the others."""

_PARTS = "R-Bench"
"""The folder of a Parquet file in several parts."""
_ENCODING = "gb18030"
_ROWS_AT_ONCE = 16

_Row = Mapping[str, str]


def find_published(data_dir: str | Path | None = None) -> list[Path]:
    """The published file with all tasks, or the parts of it, in the data folders; none if it is not there."""
    whole, *tables = PUBLISHED
    path = find_file(whole, data_dir)
    if path is not None:
        return [path]
    for folder in data_folders(data_dir):
        parts = sorted((folder / _PARTS).glob("*.parquet"))
        if parts:
            return parts
    path = next(filter(None, (find_file(name, data_dir) for name in tables)), None)
    return [] if path is None else [path]


def published_tsv(sources: Sequence[Path], pictures: str) -> Path:
    """The TSV file of a published file's rows with one kind of picture; it is written if need be.

    Args:
        sources: The CSV file, or the Parquet file or its parts in order. Rows are numbered from 0.
        pictures: `dis` or `ref`.

    Returns:
        The path of the TSV file.

    Raises:
        DataError: The file cannot be read, lacks a column, or has no such pictures.
        MissingExtraError: Parquet cannot be read without pyarrow.
        StoreError: The TSV file cannot be written.
    """
    first = sources[0]
    state = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in sources]
    folder = make_folder(first.parent / "rbench")
    target = folder / f"{first.stem}-{pictures}-{value_digest(state)[:8]}.tsv"
    if not target.is_file():
        rows = _csv_rows(first, pictures) if first.suffix == ".csv" else _parquet_rows(sources, pictures)
        _write(target, rows, "image_path" if first.suffix == ".csv" else "image")
    return target


def _write(target: Path, rows: Iterator[_Row], picture: str) -> None:
    columns = ("index", *COLUMNS, picture)
    with open_atomic(target) as file:
        text = codecs.getwriter("utf-8")(file)
        writer = csv.DictWriter(text, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for index, row in enumerate(rows):
            writer.writerow({"index": index, **row})


def _csv_rows(path: Path, pictures: str) -> Iterator[_Row]:
    folder = _picture_folder(path, pictures)
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    try:
        _require(path, reader.fieldnames or ())
        for row in reader:
            if None in row or None in row.values():
                raise DataError(
                    f"{path}, line {reader.line_num}: other than {len(reader.fieldnames or ())} cells.",
                    hint="The file may be incomplete.",
                )
            # Relative to the TSV, so that the folders can be moved together.
            picture = Path("..", folder.name, Path(row["name"]).name)
            yield {**{name: row[name] for name in COLUMNS}, "image_path": picture.as_posix()}
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV: {error}.") from error


def _text(path: Path) -> str:
    """The text of the CSV file: GB18030, or UTF-8 if somebody has saved it so."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        return data.decode(_ENCODING)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte 0x{data[error.start]:02x} at {error.start} is neither UTF-8 nor GB18030.",
            hint="Use the published file as it is.",
        ) from error


def _picture_folder(path: Path, pictures: str) -> Path:
    names = (f"{pictures}_image", pictures)
    for folder in (path.parent / name for name in names):
        if folder.is_dir():
            return folder
    raise DataError(
        f"{path} names pictures, and there is no folder {' or '.join(names)} beside it.",
        hint="Put the pictures there, under the names in the column 'name', or use the Parquet file.",
    )


def _parquet_rows(paths: Sequence[Path], pictures: str) -> Iterator[_Row]:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow, which reads Parquet,", "parquet") from error
    column = f"{pictures}_image"
    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                _require(path, file.schema_arrow.names, column)
                for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[*COLUMNS, column]):
                    for row in batch.to_pylist():
                        texts = {name: "" if row[name] is None else str(row[name]) for name in COLUMNS}
                        yield {**texts, "image": _encoded(row[column])}
        except (arrow.ArrowException, OSError) as error:
            raise DataError(f"Cannot read {path}: {error}.") from error


def _encoded(picture: Any) -> str:
    """A picture of a Parquet file, bytes or a struct with bytes, as base64; empty if there is none."""
    data = picture.get("bytes") if isinstance(picture, Mapping) else picture
    return base64.b64encode(data).decode() if isinstance(data, bytes) else ""


def _require(path: Path, names: Sequence[str], *more: str) -> None:
    missing = [name for name in (*COLUMNS, *more) if name not in names]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(map(repr, missing))}.",
            hint=f"R-Bench's published file has {', '.join(COLUMNS)}. This one has: {', '.join(names)}.",
        )
