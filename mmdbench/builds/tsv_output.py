"""A degraded benchmark as TSV, in VLMEvalKit's layout: the benchmark's own file with other pictures.

All columns but `image` are the benchmark's bytes. A row that refers to another row's picture
still does where that row met the same corruption in the same file; else its picture is written
out. Lists stay lists. A data URI becomes plain base64, which every reader of such files takes.
Where the benchmark has only a column `image_path`, a column `image` takes its place: with both,
readers would look for the files first, and show the clean pictures.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from mmdbench.benches import Bench
from mmdbench.benches.table import Header
from mmdbench.builds.making import MadeRow, Piece
from mmdbench.builds.outputs import Place
from mmdbench.builds.parts import FileRecord, PartFile
from mmdbench.builds.plan import Output

__all__ = ["TsvSink"]

_BOM = b"\xef\xbb\xbf"


class TsvSink:
    """Writes `NAME.tsv`, and `NAME_part2.tsv`, … where one file would be too long."""

    def __init__(self, place: Place, output: Output, bench: Bench, state: Mapping[str, Any] | None) -> None:
        self._place, self._name = place, output.name
        header = bench.table.header
        self._newline = header.newline
        self._header = (_BOM if header.bom else b"") + _header_row(header)
        self._closed = [FileRecord.from_dict(record) for record in state["closed"]] if state else []
        self._first = int(state["first"]) if state else 0
        self._part = self._open(state["part"] if state else None)
        self._bench = bench

    def add(
        self,
        made: MadeRow,
        piece: Piece | None,
        cell: Mapping[str, Any],  # noqa: ARG002 - the columns stay as they are
    ) -> dict[str, Any]:
        """Write the row: its bytes around the image cell, and the new image cell."""
        image = piece.cell if piece is not None else self._own_cell(made)
        line = b"".join((made.before, image, made.after, self._newline))
        full = self._part.size + len(line) > self._place.max_bytes
        # A row that is too long for any file gets one of its own.
        if full and self._part.size > len(self._header) + len(self._newline):
            self._part.close()
            self._closed.append(self._part.record())
            self._first = made.plan.number
            self._part = self._open(None)
        self._part.write(line)
        return {"file": self._part.file}

    def holds(self, made: MadeRow, number: int) -> bool:
        """Whether the row of that number is in the present part, with room for the new row behind it."""
        length = len(made.before) + len(self._own_cell(made)) + len(made.after) + len(self._newline)
        return number >= self._first and self._part.size + length <= self._place.max_bytes

    def state(self) -> dict[str, Any]:
        """Finished parts, the present part, and the number of its first row."""
        closed = [record.as_dict() for record in self._closed]
        return {"closed": closed, "part": self._part.record().as_dict(), "first": self._first}

    def finish(self) -> list[FileRecord]:
        """Close the last part."""
        self._part.close()
        return [*self._closed, self._part.record()]

    def abandon(self) -> None:
        """Close the part being written."""
        self._part.close(durable=False)

    def _open(self, record: Mapping[str, Any] | None) -> PartFile:
        number = len(self._closed) + 1
        name = f"{self._name}.tsv" if number == 1 else f"{self._name}_part{number}.tsv"
        part = PartFile(self._place.folder, name, record)
        if record is None:
            part.write(self._header + self._newline)
        return part

    def _own_cell(self, made: MadeRow) -> bytes:
        return self._bench.rows[made.plan.question.index].raw("image")


def _header_row(header: Header) -> bytes:
    """The header's own bytes, but for an `image_path` that becomes `image`."""
    if header.position("image") is not None:
        return header.raw
    position = header.position("image_path")
    names = ["image" if number == position else name for number, name in enumerate(header.columns)]
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="").writerow(names)
    return text.getvalue().encode()
