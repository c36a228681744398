"""The interface of an output format, and the parts that several formats share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mmdbench.benches import Bench
from mmdbench.builds.part_files import FileRecord
from mmdbench.builds.plan import Output, Target
from mmdbench.builds.row_images import MadeRow, RowImages

__all__ = ["MAX_FILE_BYTES", "OutputRow", "Sink", "SinkPlan", "image_names", "row_fields", "text_columns"]

MAX_FILE_BYTES = 1_000_000_000
"""VLMEvalKit unpacks every picture of a TSV above 1 GB into files of its own: stay below."""

_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


@dataclass(frozen=True, slots=True)
class OutputRow:
    """A row as one output gets it; without `images` it refers to the row `target.same_as`."""

    made: MadeRow
    target: Target
    images: RowImages | None


@dataclass(frozen=True, slots=True)
class SinkPlan:
    """The output that a sink writes, its benchmark, the folder of unfinished files, and a size limit."""

    output: Output
    bench: Bench
    folder: Path
    max_bytes: int = MAX_FILE_BYTES


class Sink(Protocol):
    """Writes the rows of one output, in order; its state can be saved after any row."""

    def add(self, row: OutputRow) -> dict[str, Any] | None:
        """Write a row and return its place for the log, as far as it is known.

        None, and nothing is written, if the row refers to one that is not in the same file.
        """
        ...

    def state(self) -> dict[str, Any]:
        """The state that a sink of the same output resumes from, JSON-able."""
        ...

    def finish(self) -> list[FileRecord]:
        """Complete the files, in the folder of unfinished ones, and force them to the disk.

        The first part of each record's path is the file or folder to move to the build's folder.
        """
        ...

    def abandon(self) -> None:
        """Close all files as they are."""
        ...


def text_columns(bench: Bench) -> tuple[str, ...]:
    """The columns of a bench that formats other than TSV keep: all but the index and the pictures."""
    return tuple(name for name in bench.columns if name not in ("", "index", "image", "image_path"))


def row_fields(row: OutputRow, columns: Sequence[str]) -> dict[str, Any]:
    """The texts of a row: index, the benchmark's columns (None if empty), bench, level, corruption.

    The last three replace columns of the same name.
    """
    question, cell = row.made.plan.question, row.target.cell
    fields = {name: question.fields.get(name) for name in columns}
    ours = {"bench": question.bench, "level": cell.level, "corruption": cell.corruption}
    return {"index": question.index, **fields, **ours}


def image_names(stem: str, mimes: Sequence[str]) -> list[str]:
    """File names of a row's pictures, one for each MIME type.

    >>> image_names("7", ["image/png"]), image_names("7", ["image/png", "image/jpeg"])
    (['7.png'], ['7.0.png', '7.1.jpg'])
    """
    if len(mimes) == 1:
        return [f"{stem}{_SUFFIXES[mimes[0]]}"]
    return [f"{stem}.{number}{_SUFFIXES[mime]}" for number, mime in enumerate(mimes)]
