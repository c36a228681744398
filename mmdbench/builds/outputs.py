"""The four kinds of files that a build writes, behind one small interface: a sink takes rows in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mmdbench.benches import Bench
from mmdbench.builds.making import MadeRow, Piece
from mmdbench.builds.parts import FileRecord
from mmdbench.builds.plan import Output

__all__ = ["MAX_FILE_BYTES", "Place", "Sink", "open_sink", "row_fields", "suffix_of", "text_columns"]

MAX_FILE_BYTES = 1_000_000_000
"""VLMEvalKit unpacks every picture of a TSV above 1 GB into files of its own: stay below."""

_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


class Sink(Protocol):
    """Takes the rows of one output, in order, and can say at any moment how to go on from there."""

    def add(self, made: MadeRow, piece: Piece | None, cell: Mapping[str, Any]) -> dict[str, Any]:
        """Write a row; without a piece, the row refers to an earlier one in the same file.

        `cell` holds the level and the corruption that the row met. Returns where the row is, as
        far as that is known, for the log.
        """
        ...

    def holds(self, made: MadeRow, number: int) -> bool:
        """Whether the row can be written as a mere reference to the row of that number."""
        ...

    def state(self) -> dict[str, Any]:
        """What `open_sink` needs to go on from here, JSON-able."""
        ...

    def finish(self) -> list[FileRecord]:
        """Complete the files, in the folder of unfinished ones, and force them to the disk.

        The first part of each record's path is what has to be moved to the build's folder.
        """
        ...

    def abandon(self) -> None:
        """Close what is open, as it is."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sink writes: the folder of unfinished files, and the longest file allowed, in bytes."""

    folder: Path
    max_bytes: int = MAX_FILE_BYTES


def open_sink(kind: str, place: Place, output: Output, bench: Bench, state: Mapping[str, Any] | None) -> Sink:
    """A sink of a format for one output; `state` is where an interrupted one left off."""
    return _opener(kind)(place, output, bench, state)


def _opener(kind: str) -> Callable[[Place, Output, Bench, Mapping[str, Any] | None], Sink]:
    if kind == "tsv":
        from mmdbench.builds.tsv_output import TsvSink

        return TsvSink
    if kind == "folder":
        from mmdbench.builds.folder_output import FolderSink

        return FolderSink
    if kind == "parquet":
        from mmdbench.builds.parquet_output import ParquetSink

        return ParquetSink
    from mmdbench.builds.webdataset_output import WebdatasetSink

    return WebdatasetSink


def text_columns(bench: Bench) -> tuple[str, ...]:
    """The columns of a bench that formats other than TSV keep: all but the index and the pictures."""
    return tuple(name for name in bench.columns if name not in ("", "index", "image", "image_path"))


def row_fields(made: MadeRow, cell: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """A row's texts: index, bench, level, corruption, then the columns; None where a cell is empty.

    A column of the bench gives way to ours of the same name.
    """
    question = made.plan.question
    fields = {name: question.fields.get(name) for name in columns}
    return {"index": question.index, **fields, "bench": question.bench, **cell}


def suffix_of(mime: str) -> str:
    """The ending of a picture's file name."""
    return _SUFFIXES[mime]
