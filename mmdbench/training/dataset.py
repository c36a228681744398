"""Writes the data set: `dataset.jsonl`, its pictures, and a summary of its rules and counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench, build_prompt
from mmdbench.records import Cell, ImageBytes, Question, Recipe, Variant
from mmdbench.system.digest import pixel_digest
from mmdbench.system.files import make_folder, open_atomic, write_atomic
from mmdbench.system.images import NO_LIMIT
from mmdbench.training.samples import TrainingSample
from mmdbench.training.selection import Selection
from mmdbench.training.traces import PROMPT_ID, Trace
from mmdbench.variants.recipes import clean_image, make_variant

__all__ = ["DATASET", "SUMMARY", "TraceSet", "write_dataset"]

DATASET = "dataset.jsonl"
"""The file of the data set: one JSON object for each kept sample."""

SUMMARY = "dataset.json"
"""The file with the rules, and the numbers of samples kept and left out."""

_PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class TraceSet:
    """The id of a judge, and its traces by cell."""

    judge: str
    traces: Mapping[Cell, Trace]


def write_dataset(
    folder: Path,
    selection: Selection,
    benches: Sequence[Bench],
    *,
    traces: TraceSet | None = None,
    rules: Mapping[str, Any] | None = None,
    pictures: bool = True,
) -> Path:
    """Write the kept samples into a run's folder; the same selection writes the same bytes.

    Args:
        folder: The run's folder.
        selection: The selection of its samples.
        benches: Its benchmarks.
        traces: The judge's reasoning for the kept samples, None for none.
        rules: The rules of the selection, for the summary.
        pictures: Write each degraded picture and its clean original to the folder `pictures`, named
            by the digest of their pixels; otherwise the recipes tell how to make them.

    Returns:
        The path of `dataset.jsonl`.
    """
    questions = {(b.name, q.index): (q, b.family) for b in benches for q in b.questions}
    if pictures:
        make_folder(folder / _PICTURES)
    with open_atomic(folder / DATASET) as file:
        for sample in selection.kept:
            question, family = questions[sample.cell.bench, sample.cell.index]
            record = _record(sample, question, family)
            if pictures:
                record |= _pictures(folder, sample, question)
            if traces is not None:
                trace = traces.traces.get(sample.cell)
                record["turns"] = list(trace.turns) if trace else []
                record["trace"] = trace.status if trace else "missing"
            file.write(json.dumps(record, ensure_ascii=True).encode() + b"\n")
    summary = _summary(selection, rules or {}, traces)
    write_atomic(folder / SUMMARY, json.dumps(summary, indent=1, ensure_ascii=True) + "\n")
    return folder / DATASET


def _record(sample: TrainingSample, question: Question, family: str) -> dict[str, Any]:
    cell, reply = sample.cell, sample.reply
    assert reply is not None  # a sample without a reply is left out
    return {
        "id": f"{cell.bench}:{cell.index}:{cell.level}:{cell.corruption}",
        "bench": cell.bench,
        "index": cell.index,
        "category": sample.category,
        "mode": sample.mode,
        "prompt": build_prompt(question, family),
        "question": question.text,
        "options": question.options,
        "answer": question.answer,
        "corruption": cell.corruption,
        "level": cell.level,
        "recipes": [dict(image["recipe"]) for image in reply.images],
        "base_reply": reply.text,
        "key": reply.key,
    }


def _pictures(folder: Path, sample: TrainingSample, question: Question) -> dict[str, list[str]]:
    assert sample.reply is not None
    degraded, clean = [], []
    for source, image in zip(question.images, sample.reply.images, strict=True):
        original = clean_image(source.read(), source.where, NO_LIMIT)
        variant: Variant = make_variant(original, Recipe(**image["recipe"]))
        degraded.append(_save(folder, variant.pixels, variant.image))
        clean.append(_save(folder, pixel_digest(original.pixels), original.source))
    return {"images": degraded, "clean_images": clean}


def _save(folder: Path, digest: str, image: ImageBytes) -> str:
    name = f"{_PICTURES}/{digest}.{image.mime.partition('/')[2]}"
    if not (folder / name).exists():
        write_atomic(folder / name, image.data)
    return name


def _summary(selection: Selection, rules: Mapping[str, Any], traces: TraceSet | None) -> dict[str, Any]:
    kept = selection.kept
    found: dict[str, Any] = {
        "kind": "mmdbench assignment",
        "rules": dict(rules),
        "samples": len(selection.samples),
        "kept": len(kept),
        "modes": dict(sorted(Counter(sample.mode for sample in kept).items())),
        "left_out": dict(sorted(selection.left_out.items())),
        "corruptions": dict(sorted(Counter(str(s.cell.corruption) for s in kept).items())),
        "levels": dict(sorted(Counter(sample.cell.level for sample in kept).items())),
    }
    if traces is not None:
        statuses = Counter(trace.status for trace in traces.traces.values())
        found["traces"] = {"judge": traces.judge, "prompt": PROMPT_ID, **dict(sorted(statuses.items()))}
    return found
