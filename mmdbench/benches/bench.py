"""Benchmarks read from TSV files: their questions with images."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from mmdbench.benches.catalog import BenchInfo, clean_bench
from mmdbench.benches.ground_truth import GroundTruth, read_ground_truth
from mmdbench.benches.option_columns import RowOptions
from mmdbench.benches.question_images import MissingImage, table_images
from mmdbench.benches.tsv_reader import read_table
from mmdbench.benches.tsv_table import LongCell, TsvRow, TsvTable
from mmdbench.errors import DataError, UnknownNameError
from mmdbench.records import Index, Question
from mmdbench.scoring.families import get_family, infer_family, selectable_families
from mmdbench.system.digest import file_hash
from mmdbench.system.inner_paths import plain_name

__all__ = ["Answers", "Bench", "build_prompt", "read_bench"]

Answers = Literal["check", "any", "as is"]
"""Treatment of right answers: `check` refuses a file with an answer that cannot be used; `any` does not;
`as is` also leaves answers unread that are not written as labels, as VLMEvalKit does."""

_INTEGER = re.compile("-?[0-9]{1,999}")
_PICTURES = ("image", "image_path")


@dataclass(frozen=True)
class Bench:
    """A benchmark that was read from a TSV file.

    Attributes:
        name: The name in the catalogue, or the file's name without `.tsv`.
        family: The name of the family.
        questions: All rows, in the order of the file; an image that a row lacks raises the reason when
            it is read.
        info: The catalogue's entry of the clean benchmark.
        path: The file.
        table: The cells of the file, as bytes.
        family_reason: The reason for the family, in words.
        notes: The way in which unusual options and answers were read, for users.
        source: The dataset that the file was made of, with its revision; empty for other files.
        column_map: The columns of that dataset by the names that they have here.
    """

    name: str
    family: str
    questions: Sequence[Question]
    info: BenchInfo
    path: Path
    table: TsvTable = field(repr=False)
    family_reason: str = ""
    notes: tuple[str, ...] = ()
    source: str = ""
    column_map: Mapping[str, str] = field(default_factory=dict)

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
    def with_pictures(self) -> Bench:
        """The benchmark without the rows that have no picture; itself if there are none."""
        kept = tuple(q for q in self.questions if not any(isinstance(i, MissingImage) for i in q.images))
        return self if len(kept) == len(self.questions) else replace(self, questions=kept)

    @property
    def without_picture(self) -> int:
        """The number of questions whose picture is missing."""
        return len(self.questions) - len(self.with_pictures.questions)

    def require_pictures(self) -> None:
        """Raise ImageDecodeError for the first question whose picture is missing."""
        for image in (image for question in self.questions for image in question.images):
            if isinstance(image, MissingImage):
                image.read()

    @cached_property
    def md5(self) -> str:
        """MD5 of the file, as 32 hexadecimal digits; computed once."""
        return file_hash(self.path, "md5")

    @property
    def unpublished_md5(self) -> str:
        """The file's MD5 if the catalogue has another for a file of this name; else empty."""
        other = self.info.md5 and self.name.lower() == self.info.name.lower() and self.md5 != self.info.md5
        return self.md5 if other else ""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, as 64 hexadecimal digits; computed once."""
        return file_hash(self.path, "sha256")


def read_bench(
    path: Path,
    *,
    info: BenchInfo | None = None,
    family: str | None = None,
    answers: Answers = "check",
    image_root: Path | None = None,
) -> Bench:
    """Read a TSV file as a benchmark.

    Args:
        path: The file.
        info: The benchmark's entry in the catalogue; without it the name is the file's, without `.tsv`.
        family: The family to use in place of the catalogue's, or of the one that the file looks like.
        answers: Treatment of right answers. Those of a published file, by its MD5, are left as they are.
        image_root: A folder that image files may be in beside the TSV's own.

    Returns:
        The benchmark with all its questions.

    Raises:
        UnknownNameError: The family is not one that users can name.
        DataError: The file is not a valid benchmark; the message names the line and the column.
    """
    if family is not None and family not in selectable_families():
        raise UnknownNameError("benchmark family", family, selectable_families())
    table = read_table(path)
    _require(table, ("index", _PICTURES))
    if not table.rows:
        raise DataError(f"{path}, line 1: a header, but no rows.", hint="Is the file complete?")
    name = plain_name(path.parent, info.name if info else path.stem, path, DataError)
    indices = _indices(table)
    known = info or clean_bench(path.stem)
    options = RowOptions(
        table, read_lists=answers != "as is" and not _is_open(family or (known.family if known else None))
    )
    chosen, reason = _family(known, family, options.columns, indices)
    _require(table, ("index", get_family(chosen).text_column, _PICTURES), chosen)
    if known is None:
        known = BenchInfo(name, chosen, title=name, columns=table.header.names, source=str(path))
    truth = _truth(table, options, chosen, None if answers == "as is" else known.md5)
    if answers != "any" and truth.problem is not None:
        raise truth.problem
    pictures = zip(indices, table.rows, table_images(table, indices, image_root), strict=True)
    questions = tuple(
        Question(name, index, _fields(row, options.listed[number], truth.answers.get(number)), images)
        for number, (index, row, images) in enumerate(pictures)
    )
    return Bench(name, chosen, questions, known, path, table, reason, (*options.notes, *truth.notes()))


def build_prompt(question: Question, family: str, protocol: str = "") -> str:
    """The text of a question's prompt by its family; images are sent before it.

    Args:
        question: The question.
        family: The name of its benchmark's family.
        protocol: The scoring protocol of the run: `rbench/official` asks R-Bench in another way.

    Returns:
        The prompt.

    Raises:
        UnknownNameError: There is no such family.
        DataError: The text column of the question is empty and the family uses it unchanged.
    """
    return get_family(family).under(protocol).prompt(question)


def _is_open(family: str | None) -> bool:
    grading = get_family(family).grading if family else None
    return grading is not None and grading.judged


def _truth(table: TsvTable, options: RowOptions, family: str, published_md5: str | None) -> GroundTruth:
    """The right answers; those of a published file are left as they are. None stands for any file."""
    truth = read_ground_truth(table, options, is_open=_is_open(family))
    if truth.problem is None and not truth.answers:
        return truth
    path = table.header.source.path
    as_it_is = published_md5 is None or (published_md5 and file_hash(path, "md5") == published_md5)
    return truth.left_alone() if as_it_is else truth


def _family(
    known: BenchInfo | None, given: str | None, columns: Collection[str], indices: Sequence[Index]
) -> tuple[str, str]:
    if given is not None:
        return given, "it was given"
    if known is not None:
        return known.family, f"the benchmark {known.name} is of that family"
    return infer_family(columns, indices)


def _require(table: TsvTable, columns: Sequence[str | tuple[str, ...]], family: str = "") -> None:
    """Raise DataError unless the table has each of the columns, or one of several."""
    names = table.header.names
    choices = [(column,) if isinstance(column, str) else column for column in columns]
    for choice in choices:
        if not any(name in names for name in choice):
            needed = ", ".join(map(" or ".join, choices))
            of = f"The family {family} needs" if family else "Every benchmark needs"
            raise DataError(
                f"{table.header.source.path}, line 1: no column {' or '.join(map(repr, choice))}.",
                hint=f"{of} the columns {needed}. The file has: {', '.join(names)}.",
            )


def _indices(table: TsvTable) -> list[Index]:
    """The index of each row: integers if all are whole numbers, otherwise the texts of the cells."""
    texts = [row.text("index") for row in table.rows]
    whole = all(_INTEGER.fullmatch(text) for text in texts)
    lines: dict[Index, TsvRow] = {}
    for text, row in zip(texts, table.rows, strict=True):
        if not text:
            raise DataError(f"{row.where('index')}: an index is needed, the cell is empty.")
        index: Index = int(text) if whole else text
        if index in lines:
            raise DataError(
                f"{row.where('index')}: indices must differ, {text} is also in line {lines[index].line}.",
                hint="Give every row a unique index.",
            )
        lines[index] = row
    for row in table.rows if "g_index" in table.header.names else ():
        if not _INTEGER.fullmatch(row.text("g_index")):
            raise DataError(f"{row.where('g_index')}: must be a whole number, got {row.text('g_index')!r}.")
    return list(lines)


@dataclass(frozen=True, slots=True)
class _LazyFields(Mapping[str, str]):
    """The texts of a row by column; long ones are read from the file at each access."""

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


def _fields(row: TsvRow, listed: Mapping[str, str], answer: str | None) -> Mapping[str, str]:
    short: dict[str, str] = dict(listed)
    if answer is not None:
        short["answer"] = answer
    long: list[str] = []
    for name, cell in zip(row.header.names, row.cells, strict=True):
        if not name or not cell or name in _PICTURES or name in short:
            continue
        if isinstance(cell, LongCell):
            long.append(name)
        else:
            short[name] = cell
    return _LazyFields(short, tuple(long), row) if long else short
