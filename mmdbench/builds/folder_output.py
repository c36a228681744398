"""A degraded benchmark as pictures and `metadata.jsonl`, as `imagefolder` of Hugging Face reads it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdbench.builds.output_format import OutputRow, SinkPlan, image_names, row_fields, text_columns
from mmdbench.builds.part_files import FileRecord, PartFile, check_file
from mmdbench.builds.row_images import json_line
from mmdbench.system.digest import bytes_digest
from mmdbench.system.files import cannot_write, make_folder

__all__ = ["FolderSink"]

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,100}")


class FolderSink:
    """Writes `NAME/images/INDEX.jpg` and `NAME/metadata.jsonl`.

    Each line of the metadata names its picture in `file_name`; in a benchmark with several
    pictures to a row, all lines name theirs in the list `images_file_names`.
    """

    def __init__(self, plan: SinkPlan, state: Mapping[str, Any] | None) -> None:
        self._folder, self._name = plan.folder, plan.output.name
        self._columns = text_columns(plan.bench)
        self._lists = any(len(question.images) > 1 for question in plan.bench.questions)
        name = self._name
        with contextlib.ExitStack() as undo:
            self._metadata = PartFile(
                self._folder, f"{name}/metadata.jsonl", state["metadata"] if state else None
            )
            undo.callback(self._metadata.close, durable=False)
            # Only read when resuming: the log of the build has every digest as well.
            self._digests = PartFile(self._folder, f"{name}.digests", state["digests"] if state else None)
            undo.callback(self._digests.close, durable=False)
            make_folder(self._folder / name / "images")
            for line in self._digests.path.read_text("utf-8").splitlines():
                digest, file = line.split(" ", 1)
                check_file(self._folder, file, digest)
            undo.pop_all()

    def add(self, row: OutputRow) -> dict[str, Any]:
        """Write the row's pictures, then its line."""
        assert row.images is not None
        index = str(row.made.plan.question.index)
        # An index that is no plain file name gives way to the number of the row.
        stem = index if _PLAIN.fullmatch(index) else f"row.{row.made.plan.number}"
        names = image_names(f"images/{stem}", [image.mime for image in row.images.images])
        for name, image in zip(names, row.images.images, strict=True):
            _write(self._folder / self._name / name, image.data)
            self._digests.write(f"{bytes_digest(image.data)} {self._name}/{name}\n".encode())
        where = {"images_file_names": names} if self._lists else {"file_name": names[0]}
        self._metadata.write(json_line({**where, **row_fields(row, self._columns)}))
        return {"files": [f"{self._name}/{name}" for name in names]}

    def state(self) -> dict[str, Any]:
        """The records of the metadata and of the list of digests."""
        return {"metadata": self._metadata.record().as_dict(), "digests": self._digests.record().as_dict()}

    def finish(self) -> list[FileRecord]:
        """Close the metadata; the pictures are in the log with their digests."""
        self._metadata.close()
        self._digests.close()
        # One call for all pictures: forcing each to the disk would take longer than making it.
        getattr(os, "sync", lambda: None)()
        return [self._metadata.record()]

    def abandon(self) -> None:
        """Close the metadata as it is."""
        self._metadata.close(durable=False)
        self._digests.close(durable=False)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise cannot_write(path, error) from error
