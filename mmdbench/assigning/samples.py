"""A graded run becomes samples: right on the degraded picture, or wrong; or left out, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mmdbench.records import CLEAN, RECODED, Cell, Grade, Index, Reply
from mmdbench.report.results import RunResults

__all__ = ["Mode", "Sample", "find_samples"]

Mode = Literal["direct", "generate"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One question under one corruption at one level.

    `mode` is `direct` if the base model is right on the degraded picture, `generate` if it is wrong:
    then a restoration has to come before the answer. `left_out` is empty, or says why the sample
    teaches neither.
    """

    cell: Cell
    category: str
    mode: Mode
    reply: Reply | None
    left_out: str = ""


def find_samples(
    results: RunResults, *, clean_check: bool = True, right_at: float = 1.0
) -> tuple[Sample, ...]:
    """The samples of a run, in its order; a circular group or a pair is one sample.

    Right is what earns `right_at` at least (judged answers earn a share of 1). Left out are samples
    without an answer, those that no rule and no judge could grade, those whose corruption changed
    nothing and, with `clean_check`, those that the model gets wrong on the clean picture too: the
    corruption is not to blame for them.
    """
    return tuple(_samples(results, clean_check, right_at))


def _samples(results: RunResults, clean_check: bool, right_at: float) -> Iterator[Sample]:
    grades = {(g.bench, g.index, arm.level): g for arm in results.arms for g in arm.score.grades}
    cells = {(cell.bench, cell.index, cell.level): cell for cell in results.cells}
    clean = {(hit.bench, hit.unit): hit.hit >= right_at for hit in results.hits if hit.level == CLEAN}
    for hit in results.hits:
        if hit.level in (CLEAN, RECODED):
            continue
        cell = cells[hit.bench, hit.unit, hit.level]
        reply = results.replies.get(cell)
        why = _unfit(reply, grades[hit.bench, hit.unit, hit.level])
        if not why and clean_check:
            why = _without_clean(clean, hit.bench, hit.unit)
        yield Sample(cell, hit.category, "direct" if hit.hit >= right_at else "generate", reply, why)


def _unfit(reply: Reply | None, grade: Grade) -> str:
    if reply is None or reply.status == "error":
        return "no answer"
    if grade.verdict == "unresolved":
        return "not graded"
    if reply.images and all(image.get("no_op") for image in reply.images):
        return "nothing changed"
    return ""


def _without_clean(clean: Mapping[tuple[str, Index], bool], bench: str, unit: Index) -> str:
    if (bench, unit) not in clean:
        return "no clean answer"
    return "" if clean[bench, unit] else "wrong when clean"
