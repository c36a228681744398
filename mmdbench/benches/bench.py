"""A benchmark that was read from a TSV file: its questions, each with its images."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mmdbench.benches.catalog import BenchInfo, clean_bench
from mmdbench.benches.fetch import file_hash
from mmdbench.benches.question_images import table_images
from mmdbench.benches.tsv_reader import ReadLimits, read_table
from mmdbench.benches.tsv_table import LongCell, TsvRow, TsvTable
from mmdbench.errors import DataError, UnknownNameError
from mmdbench.records import Index, Question
from mmdbench.scoring.families import get_family, infer_family, selectable_families

__all__ = ["Bench", "build_prompt", "read_bench"]

_INTEGER = re.compile("-?[0-9]{1,999}")
_PICTURES = ("image", "image_path")


@dataclass(frozen=True)
class Bench:
    """A benchmark that was read from a TSV file.

    `questions` are in the order of the file, without the `dropped` rows that have no image.
    `info` is the catalogue's entry of the clean benchmark, `family_reason` the reason for the family,
    in words. `table` gives every cell's bytes, `rows` the row of each question's index.
    """

    name: str
    family: str
    questions: Sequence[Question]
    info: BenchInfo
    path: Path
    table: TsvTable = field(repr=False)
    dropped: int = 0
    family_reason: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order, lower-cased except the options A..Z."""
        return self.table.header.names

    @cached_property
    def rows(self) -> Mapping[Index, TsvRow]:
        """The row of the file that each question came from, by index."""
        known = {q.index for q in self.questions}
        indices = _indices(self.table)
        return {i: row for i, row in zip(indices, self.table.rows, strict=True) if i in known}

    @cached_property
    def md5(self) -> str:
        """MD5 of the file, as 32 hexadecimal digits; computed once."""
        return file_hash(self.path, "md5")

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, as 64 hexadecimal digits; computed once."""
        return file_hash(self.path, "sha256")


def read_bench(
    path: Path,
    *,
    info: BenchInfo | None = None,
    family: str | None = None,
    limits: ReadLimits | None = None,
) -> Bench:
    """Read a TSV file as a benchmark.

    Args:
        path: The file.
        info: The benchmark's entry in the catalogue; without it the name is the file's, without `.tsv`.
        family: The family to use in place of the catalogue's, or of the one that the file looks like.
        limits: Limits on what is read.

    Returns:
        The benchmark with all its questions.

    Raises:
        UnknownNameError: There is no such family.
        DataError: The file is not a valid benchmark; the message names line, column and index.
    """
    if family is not None and family not in selectable_families():
        raise UnknownNameError("benchmark family", family, selectable_families())
    table = read_table(path, limits=limits)
    _require(table, "index", _PICTURES)
    name = info.name if info else path.stem
    indices = _indices(table)
    known = info or clean_bench(path.stem)
    chosen, reason = _family(known, family, table.header.names, indices)
    _require(table, get_family(chosen).text_column)
    if known is None:
        known = BenchInfo(name, chosen, title=name, columns=table.header.names, source=str(path))
    pictures = table_images(table, indices)
    questions = tuple(
        Question(name, index, _fields(row), images)
        for index, row, images in zip(indices, table.rows, pictures, strict=True)
        if images
    )
    return Bench(name, chosen, questions, known, path, table, len(table.rows) - len(questions), reason)


def build_prompt(question: Question, family: str) -> str:
    """The text part of a model's prompt, as the benchmark's family makes it; the images come before it.

    Nothing is stripped. Raises UnknownNameError for another family, DataError if a column that the
    family asks word for word is empty.
    """
    return get_family(family).prompt(question)


def _family(
    known: BenchInfo | None, given: str | None, columns: Collection[str], indices: Sequence[Index]
) -> tuple[str, str]:
    if given is not None:
        return given, "it was given"
    if known is not None:
        return known.family, f"the benchmark {known.name} is of that family"
    return infer_family(columns, indices)


def _require(table: TsvTable, *needed: str | tuple[str, ...]) -> None:
    names = table.header.names
    for need in needed:
        either = (need,) if isinstance(need, str) else need
        if not any(name in names for name in either):
            raise DataError(
                f"{table.header.source.path}, line 1: no column {' or '.join(map(repr, either))}.",
                hint=f"Needed: index, question, image or image_path. The file has: {', '.join(names)}.",
            )


def _indices(table: TsvTable) -> list[Index]:
    """Every row's index: integers if all of them are, otherwise unchanged text."""
    texts = [row.text("index") for row in table.rows]
    whole = all(_INTEGER.fullmatch(text) for text in texts)
    lines: dict[Index, TsvRow] = {}
    for text, row in zip(texts, table.rows, strict=True):
        if not text:
            raise DataError(f"{row.where('index')}: the index is empty.")
        index: Index = int(text) if whole else text
        if index in lines:
            raise DataError(
                f"{row.where('index')}: the index {text} is that of line {lines[index].line}, too.",
                hint="Every row needs an index of its own.",
            )
        lines[index] = row
    for row in table.rows if "g_index" in table.header.names else ():
        if not _INTEGER.fullmatch(row.text("g_index")):
            raise DataError(f"{row.where('g_index')}: {row.text('g_index')!r} is not an integer.")
    return list(lines)


@dataclass(frozen=True, slots=True)
class _LazyFields(Mapping[str, str]):
    """A row's texts; long ones are read from the file each time they are needed."""

    short: Mapping[str, str]
    long: tuple[str, ...]
    row: TsvRow

    def __getitem__(self, column: str) -> str:
        return self.row.text(column) if column in self.long else self.short[column]

    def __iter__(self) -> Iterator[str]:
        yield from self.short
        yield from self.long

    def __len__(self) -> int:
        return len(self.short) + len(self.long)


def _fields(row: TsvRow) -> Mapping[str, str]:
    short: dict[str, str] = {}
    long: list[str] = []
    for name, cell in zip(row.header.names, row.cells, strict=True):
        if not name or not cell or name in _PICTURES or name in short:
            continue
        if isinstance(cell, LongCell):
            long.append(name)
        else:
            short[name] = cell
    return _LazyFields(short, tuple(long), row) if long else short
