"""The outputs of one benchmark while they are being written, and the checkpoint to go on from.

Unfinished files lie in `.parts/BENCH`. The checkpoint beside them says how long each was, and
with which digest, after the last row that all of them have; what came later is cut off when a
build goes on, and what no longer has its digest is made anew.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.builds.folders import LOGS
from mmdbench.builds.logs import LOG_KIND, Built, Identity
from mmdbench.builds.making import MadeRow, Maker, Piece, json_line
from mmdbench.builds.outputs import Place, Sink, open_sink
from mmdbench.builds.parts import DamagedPartError, PartFile
from mmdbench.builds.plan import Output
from mmdbench.errors import StoreError
from mmdbench.system.files import write_atomic

__all__ = [
    "OpenOutput",
    "close_outputs",
    "open_outputs",
    "read_checkpoint",
    "save_rows",
    "write_checkpoint",
    "write_row",
]

_CHECKPOINT = "checkpoint.json"


@dataclass
class _Counts:
    rows: int = 0
    pictures: int = 0
    references: int = 0
    no_ops: int = 0


@dataclass(frozen=True)
class OpenOutput:
    """An output being written: where its rows go, where its log goes, and what was counted."""

    output: Output
    sink: Sink
    log: PartFile
    counts: _Counts

    def finish(self) -> Built:
        """Complete its files and force them to the disk."""
        files = tuple(self.sink.finish())
        self.log.close()
        counts = self.counts
        numbers = (counts.rows, counts.pictures, counts.references, counts.no_ops)
        return Built(self.output, *numbers, log=self.log.record(), files=files)

    def state(self) -> dict[str, Any]:
        """What `open_outputs` needs to go on from here."""
        return {"sink": self.sink.state(), "log": self.log.record().as_dict(), "counts": vars(self.counts)}


def open_outputs(
    outputs: Sequence[Output],
    bench: Bench,
    place: Place,
    identity: Identity,
    states: Mapping[str, Mapping[str, Any]] | None,
) -> list[OpenOutput]:
    """Open every output of a bench, new, or as the checkpoint's `states` left it.

    Raises DamagedPartError if a file is no longer as it was left.
    """
    opened: list[OpenOutput] = []
    with contextlib.ExitStack() as undo:
        undo.callback(close_outputs, opened)
        for output in outputs:
            state = states[output.name] if states is not None else None
            log = PartFile(place.folder, f"{LOGS}/{output.name}.jsonl", state["log"] if state else None)
            undo.callback(log.close, durable=False)
            if state is None:
                log.write(json_line(_log_head(output, identity)))
            counts = _Counts(**state["counts"]) if state else _Counts()
            kind = str(identity.plan["format"])
            sink = open_sink(kind, place, output, bench, state["sink"] if state else None)
            opened.append(OpenOutput(output, sink, log, counts))
        undo.pop_all()
    return opened


def close_outputs(opened: Sequence[OpenOutput]) -> None:
    """Let go of all files, as they are."""
    for output in opened:
        with contextlib.suppress(StoreError, ValueError):
            output.sink.abandon()
            output.log.close(durable=False)


def write_row(made: MadeRow, maker: Maker, opened: Sequence[OpenOutput]) -> None:
    """Write a row to all of its outputs and their logs."""
    for target, ready in zip(made.plan.targets, made.pieces, strict=True):
        output = opened[target.output]
        piece = ready
        if piece is None and (target.same_as is None or not output.sink.holds(made, target.same_as)):
            # The row that it refers to went into an earlier file.
            piece = maker.make_piece(made.plan, target)
        where = output.sink.add(
            made, piece, {"level": target.cell.level, "corruption": target.cell.corruption}
        )
        record = {"index": made.plan.question.index, "corruption": target.cell.corruption, **where}
        if piece is None:
            record["refers"] = maker.bench.rows[made.plan.question.index].text("image")
        record["images"] = list(piece.records) if piece is not None else []
        output.log.write(json_line(record))
        _count(output.counts, piece)


def save_rows(parts: Path, rows: int, opened: Sequence[OpenOutput]) -> None:
    """Write a checkpoint: all outputs hold the first `rows` rows."""
    write_checkpoint(parts, {"rows": rows, "outputs": {o.output.name: o.state() for o in opened}})


def write_checkpoint(parts: Path, checkpoint: Mapping[str, Any]) -> None:
    """Put a checkpoint in the place of the one before."""
    write_atomic(parts / _CHECKPOINT, json.dumps(checkpoint))


def read_checkpoint(parts: Path) -> dict[str, Any] | None:
    """The checkpoint of a bench, None if there is none yet. Raises DamagedPartError."""
    try:
        return dict(json.loads((parts / _CHECKPOINT).read_text("utf-8")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"Cannot read {parts / _CHECKPOINT}: {error.strerror}.") from error
    except ValueError as error:
        raise DamagedPartError(f"{parts / _CHECKPOINT} is not as it was left.") from error


def _log_head(output: Output, identity: Identity) -> dict[str, Any]:
    record = identity.as_dict()
    record["benches"] = [bench for bench in record["benches"] if bench["name"] == output.bench]
    cell = {"bench": output.bench, "level": output.level, "corruption": output.corruption}
    return {"kind": LOG_KIND, "output": cell, **record}


def _count(counts: _Counts, piece: Piece | None) -> None:
    counts.rows += 1
    if piece is None:
        counts.references += 1
    else:
        counts.pictures += len(piece.records)
        counts.no_ops += sum(bool(record["no_op"]) for record in piece.records)
