"""Replies as files for other tools: VLMEvalKit's prediction files, and JSON lines.

`<out>/<arm>/<model>/<model>_<dataset>.xlsx`, one file for each arm of a run. VLMEvalKit recognises a
dataset by its name, so a degraded arm has its clean benchmark's name, and the arm is a folder above.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.benches.catalog import clean_bench
from mmdbench.errors import UnknownNameError
from mmdbench.models.endpoints import public_name
from mmdbench.results.arms import Arm, read_plan, read_run, repeated
from mmdbench.run.manifest import read_manifest
from mmdbench.scoring import DEFAULT_PROTOCOL, extract_answer, get_protocol, write_predictions
from mmdbench.scoring.families.plain import CUT_OFF, UNFINISHED_THOUGHT, grade_by_rules
from mmdbench.scoring.sheet import Sheet, SheetRow, build_sheet
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.system.inner_paths import name_of_at_most, plain_name

__all__ = ["FORMATS", "NO_ANSWER", "Exported", "export_run"]

NO_ANSWER = "Cannot determine the answer"
"""The text of a row without a reply: VLMEvalKit counts it, and hardly another, as a miss in any benchmark
and never asks a multiple-choice judge about it."""

FORMATS = {"vlmevalkit": "xlsx", "jsonl": "jsonl"}
"""The formats, each with the suffix of its files."""

_LONGEST_CELL = 32767
_LONGEST_NAME = 100  # bytes; two such names are in the name of a file, which has 255 at most
# Texts that VLMEvalKit's own spreadsheet would rewrite: formulas, links, and characters that Excel refuses.
_REWRITTEN = re.compile(
    r"=|\{=|(?:mailto|internal|external):|file:///|https?://\S{2000}|.*[\x00-\x08\x0b-\x1f]", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Exported:
    """One file, with its arm, its number of rows, and how many of them hold no reply of the model.

    `rewritten` counts replies that VLMEvalKit's own spreadsheet would not hold unchanged.
    """

    path: Path
    bench: str
    dataset: str
    level: str
    corruption: str | None
    rows: int
    without_answer: int
    rewritten: int


def export_run(folder: Path, out: Path, *, form: str = "vlmevalkit", extraction: str = "") -> list[Exported]:
    """Write a run's replies arm by arm; the run is only read.

    Args:
        folder: The run's folder.
        out: The folder to write to.
        form: `vlmevalkit` writes extracted answers, for VLMEvalKit extracts none; a reply that failed, is
            missing, was refused or ends in unfinished text becomes NO_ANSWER. `jsonl` writes replies
            unchanged, with their status.
        extraction: The way to extract answers; by default the run's own.

    Returns:
        The files that were written.

    Raises:
        UnknownNameError: There is no such format or extraction.
        MissingExtraError: Spreadsheets need packages that are not installed.
        StoreError: The run has a model or level whose name is no name of a folder.
    """
    if form not in FORMATS:
        raise UnknownNameError("export format", form, FORMATS)
    mode = extraction or read_plan(folder).extraction
    extract_answer("", mode=mode)
    model = _safe(public_name(str(read_manifest(folder)["model"]["name"])))
    made: dict[Path, Exported] = {}
    for arm in read_run(folder).arms:
        dataset = _dataset(arm.bench.name)
        file = f"{_arm_folder(arm, dataset)}/{model}/{model}_{_safe(dataset)}.{FORMATS[form]}"
        path = out / plain_name(out, file, folder)
        make_folder(path.parent)
        sheet = build_sheet(arm.bench, arm.replies, get_protocol(DEFAULT_PROTOCOL), mode, partial=False)
        texts = {row.index: _prediction(sheet, row) for row in sheet.rows}
        if form == "vlmevalkit":
            write_predictions(path, arm.bench, texts)
        else:
            write_atomic(path, "".join(_lines(arm)))
        made[path] = _exported(path, arm, dataset, texts.values())
    return list(made.values())


def _prediction(sheet: Sheet, row: SheetRow) -> str:
    if row.status not in ("ok", "truncated"):
        return NO_ANSWER
    # VLMEvalKit would read a letter of an unfinished thought.
    unfinished = row.ending and grade_by_rules(sheet, row).stage in (UNFINISHED_THOUGHT, CUT_OFF)
    return NO_ANSWER if unfinished else row.prediction


def _lines(arm: Arm) -> Iterator[str]:
    for question in arm.bench.questions:
        reply, cell = arm.replies.get(question.index), arm.cells[question.index]
        row: dict[str, Any] = {
            "index": question.index,
            "prediction": reply.text if reply else "",
            "status": reply.status if reply else "missing",
            "reason": reply.reason if reply else "",
            "bench": cell.bench,
            "level": cell.level,
            "corruption": cell.corruption,
            **repeated(arm),
            "answer": question.answer,
        }
        yield json.dumps(row, ensure_ascii=True) + "\n"


def _exported(path: Path, arm: Arm, dataset: str, texts: Collection[str]) -> Exported:
    return Exported(
        path=path,
        bench=arm.bench.name,
        dataset=dataset,
        level=arm.level,
        corruption=arm.corruption,
        rows=len(arm.bench.questions),
        without_answer=sum(text is NO_ANSWER for text in texts),
        rewritten=sum(len(text) > _LONGEST_CELL or _REWRITTEN.match(text) is not None for text in texts),
    )


def _dataset(bench: str) -> str:
    known = clean_bench(bench)
    return known.name if known else bench


def _arm_folder(arm: Arm, dataset: str) -> str:
    parts = [arm.bench.name] if arm.bench.name != dataset else []
    parts.append(arm.level)
    # A run whose questions met one corruption each has one folder for a level.
    parts += [arm.corruption] if arm.corruption else []
    parts += [f"repeat{arm.repeat}"] if arm.repeat > 1 else []
    return _safe("-".join(parts))


def _safe(name: str) -> str:
    return name_of_at_most(_LONGEST_NAME, re.sub(r"[^\w.@+-]", "-", name))
