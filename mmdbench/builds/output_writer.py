"""The outputs of one benchmark while they are being written, and their checkpoint.

Unfinished files are in `.parts/BENCH`. The checkpoint beside them records the length and digest
that each file had after the last row that all of them hold. A resumed build cuts off what came
later, and starts a benchmark anew if one of its files no longer has its digest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from mmdbench.builds.build_folder import LOGS
from mmdbench.builds.folder_output import FolderSink
from mmdbench.builds.manifest import LEFT_OUT, LOG_KIND, BuiltOutput, Identity
from mmdbench.builds.manifest_shape import OutputRecord
from mmdbench.builds.output_format import OutputRow, Sink, SinkPlan
from mmdbench.builds.parquet_output import ParquetSink
from mmdbench.builds.part_files import DamagedPartError, FileRecord, PartFile
from mmdbench.builds.plan import Output
from mmdbench.builds.row_images import MadeRow, RowImages, RowMaker, json_line
from mmdbench.builds.tsv_output import TsvSink
from mmdbench.builds.webdataset_output import WebdatasetSink
from mmdbench.errors import StoreError
from mmdbench.system.files import write_atomic
from mmdbench.system.json_text import parse_json
from mmdbench.system.shapes import check_shape

__all__ = [
    "OutputWriter",
    "close_outputs",
    "open_outputs",
    "read_checkpoint",
    "save_rows",
    "write_checkpoint",
    "write_row",
]

_CHECKPOINT = "checkpoint.json"
_SINKS: dict[str, Callable[[SinkPlan, Mapping[str, Any] | None], Sink]] = {
    "tsv": TsvSink,
    "folder": FolderSink,
    "parquet": ParquetSink,
    "webdataset": WebdatasetSink,
}
"""The sink of each format of a build, opened anew or from its state in a checkpoint."""


@dataclass
class _Counts:
    rows: int = 0
    pictures: int = 0
    references: int = 0
    no_ops: int = 0
    left_out: list[int] = field(default_factory=list)  # numbers of rows


@dataclass(frozen=True)
class OutputWriter:
    """An output being written: the sink of its rows, its log, and its counts."""

    output: Output
    sink: Sink
    log: PartFile
    counts: _Counts

    def finish(self) -> BuiltOutput:
        """Complete its files and force them to the disk."""
        files = tuple(self.sink.finish())
        self.log.close()
        counts = self.counts
        numbers = (counts.rows, counts.pictures, counts.references, counts.no_ops)
        log = self.log.record()
        return BuiltOutput(self.output, *numbers, log=log, files=files, left_out=len(counts.left_out))

    def state(self) -> dict[str, Any]:
        """The state that `open_outputs` resumes from."""
        return {"sink": self.sink.state(), "log": self.log.record().as_dict(), "counts": vars(self.counts)}


def open_outputs(
    plans: Sequence[SinkPlan], identity: Identity, states: Mapping[str, Mapping[str, Any]] | None
) -> list[OutputWriter]:
    """Open every output of a bench.

    Args:
        plans: The outputs, with the folder of unfinished files.
        identity: The identity of the build, for the head of each log.
        states: The state of each output by name, from a checkpoint to resume; None starts anew.

    Returns:
        The open outputs, in the order of `plans`.

    Raises:
        DamagedPartError: A file differs from its record in `states`.
        MissingExtraError: The format needs a package that is not installed.
    """
    opened: list[OutputWriter] = []
    with contextlib.ExitStack() as undo:
        undo.callback(close_outputs, opened)
        for plan in plans:
            output = plan.output
            if states is not None and output.name not in states:
                raise DamagedPartError(f"The checkpoint has no {output.name}.")
            state = states[output.name] if states is not None else None
            log = PartFile(plan.folder, f"{LOGS}/{output.name}.jsonl", state["log"] if state else None)
            undo.callback(log.close, durable=False)
            if state is None:
                log.write(json_line(_log_head(output, identity)))
            counts = _Counts(**state["counts"]) if state else _Counts()
            try:
                sink = _SINKS[str(identity.plan["format"])](plan, state["sink"] if state else None)
            except KeyError as error:
                raise DamagedPartError(f"The checkpoint of {output.name} has no {error}.") from error
            opened.append(OutputWriter(output, sink, log, counts))
        undo.pop_all()
    return opened


def close_outputs(opened: Sequence[OutputWriter]) -> None:
    """Close all files as they are."""
    for output in opened:
        with contextlib.suppress(StoreError, ValueError):
            output.sink.abandon()
            output.log.close(durable=False)


class _SinkState(TypedDict, total=False):
    closed: list[FileRecord]
    part: FileRecord
    first: int
    metadata: FileRecord
    digests: FileRecord
    spool: FileRecord


class _OutputState(TypedDict):
    sink: _SinkState
    log: FileRecord
    counts: _Counts


class _Unfinished(TypedDict):
    rows: int
    outputs: dict[str, _OutputState]


class _Finished(TypedDict):
    finished: list[OutputRecord]


def write_row(made: MadeRow, maker: RowMaker, opened: Sequence[OutputWriter]) -> None:
    """Write a row to all of its outputs and their logs; a row left out is in the logs alone, with its reason.

    Args:
        made: The row.
        maker: Makes a picture after all if the row that it refers to is in an earlier file.
        opened: The outputs of the row's benchmark.
    """
    index = made.plan.question.index
    for target, images in zip(made.plan.targets, made.targets, strict=True):
        output = opened[target.output]
        reason = made.problem
        if target.same_as in output.counts.left_out:
            reason = "It shows the picture of a row that is left out."
        if reason:
            output.counts.left_out.append(made.plan.number)
            cell = {"index": index, "corruption": target.cell.corruption}
            output.log.write(json_line({**cell, LEFT_OUT: reason, "images": []}))
            continue
        row = OutputRow(made, target, images)
        where = output.sink.add(row)
        if where is None:
            row = replace(row, images=maker.make_target(made.plan, target))
            where = output.sink.add(row)
            assert where is not None
        record = {"index": index, "corruption": target.cell.corruption, **where}
        if row.images is None:
            record["refers"] = maker.bench.rows[index].text("image")
        record["images"] = list(row.images.records) if row.images is not None else []
        output.log.write(json_line(record))
        _count(output.counts, row.images)


def save_rows(parts: Path, rows: int, opened: Sequence[OutputWriter]) -> None:
    """Write a checkpoint of open outputs.

    Args:
        parts: The bench's folder of unfinished files.
        rows: The number of rows that every output holds.
        opened: The outputs.
    """
    write_checkpoint(parts, {"rows": rows, "outputs": {o.output.name: o.state() for o in opened}})


def write_checkpoint(parts: Path, checkpoint: Mapping[str, Any]) -> None:
    """Replace the checkpoint."""
    write_atomic(parts / _CHECKPOINT, json.dumps(checkpoint))


def read_checkpoint(parts: Path) -> dict[str, Any] | None:
    """The checkpoint of a bench, None if there is none yet. Raises DamagedPartError."""
    try:
        checkpoint = parse_json((parts / _CHECKPOINT).read_bytes())
        check_shape(checkpoint, dict, "checkpoint")
        check_shape(checkpoint, _Finished if "finished" in checkpoint else _Unfinished, "checkpoint")
        return dict(checkpoint)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"Cannot read {parts / _CHECKPOINT}: {error.strerror}.") from error
    except ValueError as error:
        raise DamagedPartError(f"{parts / _CHECKPOINT} was changed since it was written.") from error


def _log_head(output: Output, identity: Identity) -> dict[str, Any]:
    record = identity.as_dict()
    record["benches"] = [bench for bench in record["benches"] if bench["name"] == output.bench]
    cell = {"bench": output.bench, "level": output.level, "corruption": output.corruption}
    return {"kind": LOG_KIND, "output": cell, **record}


def _count(counts: _Counts, images: RowImages | None) -> None:
    counts.rows += 1
    if images is None:
        counts.references += 1
    else:
        counts.pictures += len(images.records)
        counts.no_ops += sum(bool(record["no_op"]) for record in images.records)
