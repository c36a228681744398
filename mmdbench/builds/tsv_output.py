"""A degraded benchmark as TSV, in VLMEvalKit's layout: the benchmark's own file with other pictures.

All columns but `image` are the benchmark's bytes. A row that refers to another row's picture
keeps the reference if that row has the same corruption in the same file; else its picture is
written out. Lists stay lists. A data URI becomes plain base64, which every reader of such files takes.
Where the benchmark has only a column `image_path`, a column `image` takes its place: with both,
readers would look for the files first, and show the clean pictures.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from mmdbench.benches.tsv_table import TsvHeader
from mmdbench.builds.output_format import OutputRow, SinkPlan
from mmdbench.builds.part_files import FileRecord, PartFile

__all__ = ["TsvSink"]

_BOM = b"\xef\xbb\xbf"


class TsvSink:
    """Writes `NAME.tsv`, and `NAME_part2.tsv`, … where one file would be too long."""

    def __init__(self, plan: SinkPlan, state: Mapping[str, Any] | None) -> None:
        self._plan, self._name = plan, plan.output.name
        header = plan.bench.table.header
        self._newline = header.newline
        self._header = (_BOM if header.bom else b"") + _header_row(header)
        self._closed = [FileRecord.from_dict(record) for record in state["closed"]] if state else []
        self._first = int(state["first"]) if state else 0
        self._part = self._open(state["part"] if state else None)

    def add(self, row: OutputRow) -> dict[str, Any] | None:
        """Write the row: its bytes around the image cell, and the new image cell."""
        if row.images is not None:
            cell = row.images.cell
        else:
            cell = self._plan.bench.rows[row.made.plan.question.index].raw("image")
        line = b"".join((row.made.before, cell, row.made.after, self._newline))
        full = self._part.size + len(line) > self._plan.max_bytes
        if row.images is None and (full or row.target.same_as is None or row.target.same_as < self._first):
            return None
        # A row that is too long for any file gets one of its own.
        if full and self._part.size > len(self._header) + len(self._newline):
            self._part.close()
            self._closed.append(self._part.record())
            self._first = row.made.plan.number
            self._part = self._open(None)
        self._part.write(line)
        return {"file": self._part.file}

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
        part = PartFile(self._plan.folder, name, record)
        if record is None:
            part.write(self._header + self._newline)
        return part


def _header_row(header: TsvHeader) -> bytes:
    """The header's own bytes, but for an `image_path` that becomes `image`."""
    if header.position("image") is not None:
        return header.raw
    position = header.position("image_path")
    names = ["image" if number == position else name for number, name in enumerate(header.columns)]
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="").writerow(names)
    return text.getvalue().encode()
