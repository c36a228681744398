"""Reads the rows of an output back, in order, with their pictures, from any format."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from mmdbench.benches.bench import Bench, read_bench
from mmdbench.benches.tsv_reader import read_table
from mmdbench.benches.tsv_table import TsvRow
from mmdbench.builds.manifest import BuiltOutput
from mmdbench.builds.parquet_output import load_pyarrow
from mmdbench.builds.part_files import built_path
from mmdbench.errors import DataError, StoreError
from mmdbench.records import Index
from mmdbench.system.inner_paths import inner_path
from mmdbench.system.json_text import parse_record
from mmdbench.system.shapes import check_shape

__all__ = ["StoredRow", "read_output"]


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row read from an output: its file, its index as text, its pictures, and for a TSV its cells."""

    file: str
    index: str
    pictures: Sequence[bytes]
    row: TsvRow | None = None


def read_output(folder: Path, built: BuiltOutput, kind: str, family: str) -> Iterator[StoredRow]:
    """Read the rows of an output.

    Args:
        folder: The build's folder.
        built: The output.
        kind: The build's format.
        family: The family of the benchmark.

    Returns:
        The rows in order.

    Raises:
        DataError: A file's contents are damaged.
        StoreError: A file cannot be read.
    """
    names = [record.file for record in built.files]
    if kind == "tsv":
        return _tsv(folder, built, family)
    if kind == "folder":
        return _folder(folder, names[0])
    if kind == "parquet":
        return _parquet(folder, names)
    return _webdataset(folder, names)


def _tsv(folder: Path, built: BuiltOutput, family: str) -> Iterator[StoredRow]:
    for name in (record.file for record in built.files):
        path = built_path(folder, name)
        if not built.rows and not read_table(path).rows:
            continue  # a corruption that no question has got
        bench: Bench = read_bench(path, family=family, answers="any")
        for question in bench.questions:
            pictures = [image.read() for image in question.images]
            yield StoredRow(name, str(question.index), pictures, bench.rows[question.index])


def _folder(folder: Path, name: str) -> Iterator[StoredRow]:
    path = built_path(folder, name)
    with _reading(path) as file:
        for line in file:
            record = _object(line, path)
            check_shape(record, _SeveralPictures if "images_file_names" in record else _OnePicture, str(path))
            names = record["images_file_names"] if "images_file_names" in record else [record["file_name"]]
            pictures = [_bytes(inner_path(path.parent, picture, path)) for picture in names]
            yield StoredRow(name, str(record["index"]), pictures)


def _webdataset(folder: Path, names: Sequence[str]) -> Iterator[StoredRow]:
    for name in names:
        pictures: list[bytes] = []
        try:
            with tarfile.open(built_path(folder, name), "r:") as shard:
                for member in shard:
                    # Nothing is unpacked, so a member's name is no path; a link would be to another member.
                    data = shard.extractfile(member) if member.isfile() else None
                    if data is None:
                        raise StoreError(f"{folder / name} holds {member.name!r}, which is not a file.")
                    content = data.read()
                    if not member.name.endswith(".json"):
                        pictures.append(content)
                        continue
                    record = _object(content, folder / name)
                    check_shape(record, _Row, name)
                    yield StoredRow(name, str(record["index"]), pictures)
                    pictures = []
        except (OSError, tarfile.TarError) as error:
            raise StoreError(f"Cannot read {folder / name}: {error}.") from error


def _parquet(folder: Path, names: Sequence[str]) -> Iterator[StoredRow]:
    arrow, parquet = load_pyarrow()
    for name in names:
        try:
            with parquet.ParquetFile(built_path(folder, name)) as file:
                for batch in file.iter_batches(batch_size=32):
                    for record in batch.to_pylist():
                        check_shape(record, _ManyCells if "images" in record else _OneCell, name)
                        pictures = record["images"] if "images" in record else [record["image"]]
                        yield StoredRow(name, str(record["index"]), [p["bytes"] for p in pictures])
        except (OSError, arrow.ArrowException) as error:
            raise StoreError(f"Cannot read {folder / name}: {error}.") from error


class _Row(TypedDict):
    index: Index


class _OnePicture(_Row):
    file_name: str


class _SeveralPictures(_Row):
    images_file_names: list[str]


class _Cell(TypedDict):
    bytes: Any


class _OneCell(_Row):
    image: _Cell


class _ManyCells(_Row):
    images: list[_Cell]


def _reading(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror}.") from error


def _bytes(path: Path) -> bytes:
    with _reading(path) as file:
        return file.read()


def _object(text: bytes, where: Path) -> dict[str, Any]:
    try:
        return parse_record(text)
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}).") from error
