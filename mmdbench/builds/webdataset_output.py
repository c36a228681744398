"""A degraded benchmark as tar shards for webdataset: `KEY.jpg` and `KEY.json` for each row.

A row of several pictures has `KEY.0.jpg`, `KEY.1.jpg`, … The key is the number of the row; the
index is in the JSON. Headers carry no time, user or machine: equal plans give equal shards.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from typing import Any

from mmdbench.benches import Bench
from mmdbench.builds.making import MadeRow, Piece, json_line
from mmdbench.builds.outputs import Place, row_fields, suffix_of, text_columns
from mmdbench.builds.parts import FileRecord
from mmdbench.builds.plan import Output
from mmdbench.builds.shards import Shards

__all__ = ["WebdatasetSink"]

_END = bytes(2 * tarfile.BLOCKSIZE)


class WebdatasetSink:
    """Writes `NAME-00000.tar`, `NAME-00001.tar`, …"""

    def __init__(self, place: Place, output: Output, bench: Bench, state: Mapping[str, Any] | None) -> None:
        self._columns = text_columns(bench)
        self._shards = Shards(place.folder, (output.name, ".tar"), place.max_bytes, _END, state)

    def add(self, made: MadeRow, piece: Piece | None, cell: Mapping[str, Any]) -> dict[str, Any]:
        """Write the row's pictures and its texts, together in one shard."""
        assert piece is not None
        key = f"{made.plan.number:08d}"
        single = len(piece.pictures) == 1
        members = []
        for number, picture in enumerate(piece.pictures):
            name = f"{key}{suffix_of(picture.mime)}" if single else f"{key}.{number}{suffix_of(picture.mime)}"
            members.append(_member(name, picture.data))
        members.append(_member(f"{key}.json", json_line(row_fields(made, cell, self._columns))))
        return {"file": self._shards.write(b"".join(members)), "key": key}

    def holds(self, made: MadeRow, number: int) -> bool:  # noqa: ARG002 - as every sink
        """Never: every row has its own pictures here."""
        return False

    def state(self) -> dict[str, Any]:
        """How to go on from here."""
        return self._shards.state()

    def finish(self) -> list[FileRecord]:
        """Close the last shard."""
        return self._shards.finish()

    def abandon(self) -> None:
        """Close the shard being written, as it is."""
        self._shards.abandon()


def _member(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), 0, 0o644
    padding = bytes(-len(data) % tarfile.BLOCKSIZE)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + padding
