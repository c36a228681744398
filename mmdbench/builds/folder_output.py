"""A degraded benchmark as pictures and `metadata.jsonl`, as `imagefolder` of Hugging Face reads it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.builds.making import MadeRow, Piece, json_line
from mmdbench.builds.outputs import Place, row_fields, suffix_of, text_columns
from mmdbench.builds.parts import DamagedPartError, FileRecord, PartFile, disk_error, file_record
from mmdbench.builds.plan import Output
from mmdbench.system.digest import bytes_digest
from mmdbench.system.files import make_folder

__all__ = ["FolderSink", "picture_names"]

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,100}")


class FolderSink:
    """Writes `NAME/images/INDEX.jpg` and `NAME/metadata.jsonl`.

    Each line of the metadata names its picture in `file_name`; in a benchmark with several
    pictures to a row, all lines name theirs in the list `images_file_names`.
    """

    def __init__(self, place: Place, output: Output, bench: Bench, state: Mapping[str, Any] | None) -> None:
        self._folder, self._name = place.folder, output.name
        self._columns = text_columns(bench)
        self._lists = any(len(question.images) > 1 for question in bench.questions)
        name = output.name
        with contextlib.ExitStack() as undo:
            self._metadata = PartFile(
                place.folder, f"{name}/metadata.jsonl", state["metadata"] if state else None
            )
            undo.callback(self._metadata.close, durable=False)
            # Only needed to go on: the log of the build has every digest as well.
            self._digests = PartFile(place.folder, f"{name}.digests", state["digests"] if state else None)
            undo.callback(self._digests.close, durable=False)
            make_folder(place.folder / name / "images")
            for line in self._digests.path.read_text("utf-8").splitlines():
                _check(place.folder, line)
            undo.pop_all()

    def add(self, made: MadeRow, piece: Piece | None, cell: Mapping[str, Any]) -> dict[str, Any]:
        """Write the row's pictures, then its line."""
        assert piece is not None
        names = picture_names(made, piece)
        for name, picture in zip(names, piece.pictures, strict=True):
            _write(self._folder / self._name / name, picture.data)
            self._digests.write(f"{bytes_digest(picture.data)} {self._name}/{name}\n".encode())
        where = {"images_file_names": names} if self._lists else {"file_name": names[0]}
        self._metadata.write(json_line({**where, **row_fields(made, cell, self._columns)}))
        return {"files": [f"{self._name}/{name}" for name in names]}

    def holds(self, made: MadeRow, number: int) -> bool:  # noqa: ARG002 - as every sink
        """Never: every row has its own pictures here."""
        return False

    def state(self) -> dict[str, Any]:
        """How to go on from here."""
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


def picture_names(made: MadeRow, piece: Piece) -> list[str]:
    """The names of a row's pictures: its index where that is plain, else the number of the row."""
    index = str(made.plan.question.index)
    stem = index if _PLAIN.fullmatch(index) else f"row.{made.plan.number}"
    single = len(piece.pictures) == 1
    return [
        f"images/{stem}{suffix_of(p.mime)}" if single else f"images/{stem}.{n}{suffix_of(p.mime)}"
        for n, p in enumerate(piece.pictures)
    ]


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise disk_error(path, error) from error


def _check(folder: Path, record: str) -> None:
    digest, name = record.split(" ", 1)
    if not (folder / name).is_file() or file_record(folder, name).sha256 != digest:
        raise DamagedPartError(f"{folder / name} is not as it was left.")
