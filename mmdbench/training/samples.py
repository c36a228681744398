"""Samples of a graded run: right or wrong on the degraded picture, or left out for a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mmdbench.records import CLEAN, UNDEGRADED, Cell, Index, Reply
from mmdbench.results.graded_run import RunResults
from mmdbench.run.stored_plan import read_questions
from mmdbench.scoring.families import unit_of

__all__ = ["Mode", "TrainingSample", "find_samples"]

Mode = Literal["direct", "generate"]
_CLEAN = {"no answer": "no clean answer", "not graded": "clean answer not graded"}


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One question under one corruption at one level.

    `mode` is `direct` if the base model is right on the degraded picture, `generate` if it is wrong:
    then a restoration has to come before the answer. `left_out` is empty, or the reason why the sample
    teaches neither.
    """

    cell: Cell
    category: str
    mode: Mode
    reply: Reply | None
    left_out: str = ""


def find_samples(
    results: RunResults, *, clean_check: bool = False, right_at: float = 1.0
) -> tuple[TrainingSample, ...]:
    """The samples of a run, in its order; a circular group is one sample, a pair is two.

    A sample is left out if an answer is missing, even that of one rotation, if no rule and no judge
    could grade it, or if its corruption changed nothing.

    Args:
        results: The graded run.
        clean_check: Also leave out samples that the model gets wrong on the clean picture, where the
            corruption is not the cause.
        right_at: The least grade, 0..1, that counts as right; judged answers earn a share of 1.

    Returns:
        All samples, each with its mode and the reason if it is left out.
    """
    cells = {(cell.bench, cell.index, cell.level): cell for cell in results.cells}
    doubts = _doubts(results)
    clean = {(hit.bench, hit.unit): hit.hit >= right_at for hit in results.hits if hit.level == CLEAN}
    found = []
    for hit in results.hits:
        if hit.level in UNDEGRADED:
            continue
        cell = cells[hit.bench, hit.unit, hit.level]
        reply = results.replies.get(cell)
        why = doubts.get((hit.bench, hit.unit, hit.level), "") or _unchanged(reply)
        if not why and clean_check:
            doubt = doubts.get((hit.bench, hit.unit, CLEAN), "")
            why = _CLEAN[doubt] if doubt else _without_clean(clean, hit.bench, hit.unit)
        mode: Mode = "direct" if hit.hit >= right_at else "generate"
        found.append(TrainingSample(cell, hit.category, mode, reply, why))
    return tuple(found)


def _doubts(results: RunResults) -> dict[tuple[str, Index, str], str]:
    """The reason why a question has no valid grade at a level, by (bench, unit, level)."""
    grades = {(g.bench, g.index, arm.level): g for arm in results.arms for g in arm.score.grades}
    rows: dict[tuple[str, Index, str], list[Cell]] = {}
    units = _units(results)
    for cell in results.cells:
        unit = units.get((cell.bench, cell.index), cell.index)
        rows.setdefault((cell.bench, unit, cell.level), []).append(cell)
    found = {}
    for where, cells in rows.items():
        replies = [results.replies.get(cell) for cell in cells]
        verdicts = {grades[key].verdict for c in cells if (key := (c.bench, c.index, c.level)) in grades}
        if any(reply is None or reply.status == "error" for reply in replies):
            found[where] = "no answer"
        elif "unresolved" in verdicts and "wrong" not in verdicts:  # one wrong rotation loses the group
            found[where] = "not graded"
    return found


def _units(results: RunResults) -> dict[tuple[str, Index], Index]:
    benches = read_questions(results.folder) if results.folder else ()
    return {(b.name, q.index): unit_of(q, b.family) for b in benches for q in b.questions}


def _unchanged(reply: Reply | None) -> str:
    same = reply is not None and reply.images and all(image.get("no_op") for image in reply.images)
    return "nothing changed" if same else ""


def _without_clean(clean: Mapping[tuple[str, Index], bool], bench: str, unit: Index) -> str:
    if (bench, unit) not in clean:
        return "no clean answer"
    return "" if clean[bench, unit] else "wrong when clean"
