"""A degraded benchmark as tar shards for webdataset: `KEY.jpg` and `KEY.json` for each row.

A row of several pictures has `KEY.0.jpg`, `KEY.1.jpg`, … The key is the number of the row; the
index is in the JSON. Headers carry no time, user or machine: equal plans give equal shards.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from typing import Any

from mmdbench.builds.output_format import OutputRow, SinkPlan, image_names, row_fields, text_columns
from mmdbench.builds.part_files import FileRecord, PartFile
from mmdbench.builds.row_images import json_line

__all__ = ["WebdatasetSink"]

_END = bytes(2 * tarfile.BLOCKSIZE)


class WebdatasetSink:
    """Writes `NAME-00000.tar`, `NAME-00001.tar`, …"""

    def __init__(self, plan: SinkPlan, state: Mapping[str, Any] | None) -> None:
        self._plan, self._name = plan, plan.output.name
        self._columns = text_columns(plan.bench)
        self._closed = [FileRecord.from_dict(record) for record in state["closed"]] if state else []
        self._shard = self._open(state["part"] if state else None)

    def add(self, row: OutputRow) -> dict[str, Any]:
        """Write the row's pictures and its texts, together in one shard."""
        assert row.images is not None
        key = f"{row.made.plan.number:08d}"
        names = image_names(key, [image.mime for image in row.images.images])
        members = [_member(name, image.data) for name, image in zip(names, row.images.images, strict=True)]
        members.append(_member(f"{key}.json", json_line(row_fields(row, self._columns))))
        block = b"".join(members)
        if self._shard.size and self._shard.size + len(block) + len(_END) > self._plan.max_bytes:
            self._close()
            self._shard = self._open(None)
        self._shard.write(block)
        return {"file": self._shard.file, "key": key}

    def state(self) -> dict[str, Any]:
        """The finished shards, and the present one."""
        return {"closed": [r.as_dict() for r in self._closed], "part": self._shard.record().as_dict()}

    def finish(self) -> list[FileRecord]:
        """Close the last shard."""
        self._close()
        return self._closed

    def abandon(self) -> None:
        """Close the shard being written, as it is."""
        self._shard.close(durable=False)

    def _close(self) -> None:
        self._shard.write(_END)
        self._shard.close()
        self._closed.append(self._shard.record())

    def _open(self, record: Mapping[str, Any] | None) -> PartFile:
        return PartFile(self._plan.folder, f"{self._name}-{len(self._closed):05d}.tar", record)


def _member(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), 0, 0o644
    padding = bytes(-len(data) % tarfile.BLOCKSIZE)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + padding
