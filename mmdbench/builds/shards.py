"""A sequence of growing files, numbered from 0, none of them longer than allowed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdbench.builds.parts import FileRecord, PartFile

__all__ = ["Shards"]


class Shards:
    """Blocks of bytes, each kept whole, in files `PREFIX-00000SUFFIX` and so on, each closed by `end`."""

    def __init__(
        self,
        folder: Path,
        names: tuple[str, str],
        max_bytes: int,
        end: bytes,
        state: Mapping[str, Any] | None,
    ) -> None:
        self._folder, self._names, self._max_bytes, self._end = folder, names, max_bytes, end
        self._closed = [FileRecord.from_dict(record) for record in state["closed"]] if state else []
        self._part = self._open(state["part"] if state else None)

    def write(self, block: bytes) -> str:
        """Append a block, to a new file if the present one would get too long; returns the file's name."""
        if self._part.size and self._part.size + len(block) + len(self._end) > self._max_bytes:
            self._close()
            self._part = self._open(None)
        self._part.write(block)
        return self._part.file

    def state(self) -> dict[str, Any]:
        """How to go on from here."""
        return {"closed": [r.as_dict() for r in self._closed], "part": self._part.record().as_dict()}

    def finish(self) -> list[FileRecord]:
        """Close the last file."""
        self._close()
        return self._closed

    def abandon(self) -> None:
        """Close the file being written, as it is."""
        self._part.close(durable=False)

    def _close(self) -> None:
        self._part.write(self._end)
        self._part.close()
        self._closed.append(self._part.record())

    def _open(self, record: Mapping[str, Any] | None) -> PartFile:
        prefix, suffix = self._names
        return PartFile(self._folder, f"{prefix}-{len(self._closed):05d}{suffix}", record)
