"""A degraded benchmark as Parquet with an Image feature, as Hugging Face `datasets` reads it.

A Parquet file cannot be cut back and continued, so rows are first put into a plain file that can,
and turned into Parquet when all are there.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mmdbench.builds.output_format import OutputRow, SinkPlan, image_names, row_fields, text_columns
from mmdbench.builds.part_files import FileRecord, PartFile, file_record
from mmdbench.errors import MissingExtraError
from mmdbench.system.files import cannot_write

__all__ = ["ParquetSink", "load_pyarrow"]

_GROUP_ROWS = 100
_GROUP_BYTES = 64 << 20
_LENGTHS = struct.Struct("<I")


class ParquetSink:
    """Writes `NAME-00000-of-00001.parquet`: a column for each of the bench's, and `image` or `images`.

    Every cell is kept as text, missing cells are null; the index is a number if every index is.
    """

    def __init__(self, plan: SinkPlan, state: Mapping[str, Any] | None) -> None:
        load_pyarrow()
        self._plan, self._name = plan, plan.output.name
        self._spool = PartFile(plan.folder, f"{self._name}.rows", state["spool"] if state else None)
        self._lists = any(len(question.images) > 1 for question in plan.bench.questions)
        self._columns = text_columns(plan.bench)
        self._whole = all(isinstance(question.index, int) for question in plan.bench.questions)

    def add(self, row: OutputRow) -> dict[str, Any]:
        """Append the row to the file of rows."""
        assert row.images is not None
        head = {
            "fields": row_fields(row, self._columns),
            "pictures": [[len(image.data), image.mime] for image in row.images.images],
        }
        text = json.dumps(head).encode()
        self._spool.write(
            b"".join((_LENGTHS.pack(len(text)), text, *(image.data for image in row.images.images)))
        )
        return {}

    def state(self) -> dict[str, Any]:
        """The record of the file of rows."""
        return {"spool": self._spool.record().as_dict()}

    def finish(self) -> list[FileRecord]:
        """Turn the rows into Parquet files."""
        self._spool.close()
        shards = _cut(list(_sizes(self._spool.path)), self._plan.max_bytes)
        names = [f"{self._name}-{n:05d}-of-{len(shards):05d}.parquet" for n in range(len(shards))]
        rows = _rows(self._spool.path)
        try:
            for name, count in zip(names, shards, strict=True):
                self._write(name, rows, count)
        except OSError as error:
            raise cannot_write(self._spool.path, error) from error
        return [file_record(self._plan.folder, name) for name in names]

    def abandon(self) -> None:
        """Close the file of rows as it is."""
        self._spool.close(durable=False)

    def _write(self, name: str, rows: Iterator[dict[str, Any]], count: int) -> None:
        arrow, parquet = load_pyarrow()
        schema = self._schema(arrow)
        with parquet.ParquetWriter(self._plan.folder / name, schema, compression="NONE") as writer:
            group: list[dict[str, Any]] = []
            weight = 0
            for _ in range(count):
                row = next(rows)
                group.append(self._record(row))
                weight += sum(len(data) for data, _ in row["pictures"])
                if len(group) == _GROUP_ROWS or weight > _GROUP_BYTES:
                    writer.write_table(arrow.Table.from_pylist(group, schema=schema))
                    group, weight = [], 0
            if group or not count:
                writer.write_table(arrow.Table.from_pylist(group, schema=schema))

    def _record(self, row: Mapping[str, Any]) -> dict[str, Any]:
        fields = dict(row["fields"])
        fields["index"] = fields["index"] if self._whole else str(fields["index"])
        names = image_names(str(fields["index"]), [mime for _, mime in row["pictures"]])
        pictures = [
            {"bytes": data, "path": name} for name, (data, _) in zip(names, row["pictures"], strict=True)
        ]
        return {**fields, **({"images": pictures} if self._lists else {"image": pictures[0]})}

    def _schema(self, arrow: Any) -> Any:
        text = {"dtype": "string", "_type": "Value"}
        picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
        names = ["bench", "level", "corruption", *(c for c in self._columns if c not in _OURS)]
        fields = [("index", arrow.int64() if self._whole else arrow.string())]
        features: dict[str, Any] = {"index": {**text, "dtype": "int64"} if self._whole else text}
        fields += [(name, arrow.string()) for name in names]
        features.update(dict.fromkeys(names, text))
        if self._lists:
            fields.append(("images", arrow.list_(picture)))
            features["images"] = {"feature": {"_type": "Image"}, "_type": "Sequence"}
        else:
            fields.append(("image", picture))
            features["image"] = {"_type": "Image"}
        info = json.dumps({"info": {"features": features}})
        return arrow.schema(fields, metadata={"huggingface": info})


_OURS = ("bench", "level", "corruption")


def load_pyarrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet. Raises MissingExtraError."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError("pyarrow, which writes Parquet,", "parquet") from error


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        while head := file.read(_LENGTHS.size):
            row = json.loads(file.read(*_LENGTHS.unpack(head)))
            row["pictures"] = [(file.read(length), mime) for length, mime in row["pictures"]]
            yield row


def _sizes(path: Path) -> Iterator[int]:
    with path.open("rb") as file:
        while head := file.read(_LENGTHS.size):
            (length,) = _LENGTHS.unpack(head)
            pictures = sum(size for size, _ in json.loads(file.read(length))["pictures"])
            file.seek(pictures, os.SEEK_CUR)
            yield length + pictures


def _cut(sizes: list[int], most: int) -> list[int]:
    """The number of rows of each file; at least one file."""
    counts, weight = [0], 0
    for size in sizes:
        if counts[-1] and weight + size > most:
            counts.append(0)
            weight = 0
        counts[-1] += 1
        weight += size
    return counts
