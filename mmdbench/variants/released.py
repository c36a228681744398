"""The authors' degraded files as what a run shows: their pictures, by the question's index.

Questions, answers and the clean arm stay those of the clean benchmark; only a picture is taken from
a released file. What does not fit together is said before anything is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.benches.bench import read_bench
from mmdbench.errors import DataError, UnknownNameError, UsageError
from mmdbench.records import CLEAN, RECODED, Cell, ImageSource, Question, RunPlan
from mmdbench.variants.released_files import ReleasedFile, find_released, require_released

__all__ = ["ReleasedCopies", "ReleasedCopy", "open_released", "released_images"]

_NAMED = 5


@dataclass(frozen=True)
class ReleasedCopy:
    """A released file that was read: the clean benchmark's name, its level, and its rows by index.

    `corruption` is None for a mixed file; `differ` counts the rows whose question or answer is
    not that of the clean benchmark.
    """

    bench: str
    level: str
    corruption: str | None
    file: Bench = field(repr=False)
    rows: Mapping[str, Question] = field(repr=False)
    differ: int = 0

    def record(self) -> dict[str, Any]:
        """What a manifest keeps of the file; places on this machine are left out."""
        return {
            "bench": self.bench,
            "level": self.level,
            "corruption": self.corruption,
            "file": self.file.path.name,
            "sha256": self.file.sha256,
            "questions": len(self.rows),
            "differ": self.differ,
        }


ReleasedCopies = Mapping[tuple[str, str, str | None], ReleasedCopy]
"""Benchmark, level and corruption → the released file that shows them."""


def open_released(
    plan: RunPlan, benches: Sequence[Bench], data_dir: Path | None = None
) -> dict[tuple[str, str, str | None], ReleasedCopy]:
    """The files that a plan of the design `released` shows; none for any other design.

    They are looked for in `data_dir`, or beside the clean file, and in the usual places. Files of
    one corruption, which are taken when the plan names corruptions, do not tell their level: the
    plan must name exactly one. Raises DataError that names the files which are missing, UsageError
    for a benchmark that the authors did not degrade.
    """
    levels = [level for level in plan.levels if level not in (CLEAN, RECODED)]
    if plan.design != "released" or not levels:
        return {}
    if plan.corruptions and len(levels) > 1:
        raise UsageError(
            f"The name of a released file of one corruption does not tell its level, and "
            f"{', '.join(levels)} are asked for.",
            hint="Say which level they are by naming only that one: --level clean,hard.",
        )
    copies = [
        _read(file, file.level or levels[0], bench)
        for bench in benches
        for file in _files(bench, plan, levels, data_dir or bench.path.parent)
    ]
    return {(copy.bench, copy.level, copy.corruption): copy for copy in copies}


def released_images(copies: ReleasedCopies, cell: Cell) -> tuple[ImageSource, ...]:
    """The pictures that a released file holds for a cell.

    Raises UsageError if no file of the cell's level and corruption was opened, DataError if it has
    no row with the question's index.
    """
    copy = copies.get((cell.bench, cell.level, cell.corruption))
    if copy is None:
        what = f"{cell.level} {cell.corruption or ''}".strip()
        raise UsageError(
            f"The design 'released' needs a file of {cell.bench} at {what}, and none was opened."
        )
    row = copy.rows.get(str(cell.index))
    if row is None:
        raise DataError(f"{copy.file.path} holds no picture for the question {cell.index}.")
    return row.images


def _files(bench: Bench, plan: RunPlan, levels: Sequence[str], folder: Path) -> list[ReleasedFile]:
    try:
        if not plan.corruptions:
            return list(require_released(bench.info.name, levels, folder).values())
        found = {file.corruption: file for file in find_released(bench.info.name, folder) if file.corruption}
    except UnknownNameError as error:
        raise UsageError(
            f"The authors released no degraded copy of {bench.name}.",
            hint="Make degraded images: --design mixed.",
        ) from error
    missing = [f"{bench.info.name}_{name}.tsv" for name in plan.corruptions if name not in found]
    if missing:
        raise DataError(
            f"The released files {', '.join(missing)} were not found.",
            hint=f"Name their folder with --data-dir; {folder} was searched, and the usual places.",
        )
    return [found[name] for name in plan.corruptions]


def _read(file: ReleasedFile, level: str, clean: Bench) -> ReleasedCopy:
    read = read_bench(file.path, info=clean.info, family=clean.family)
    rows = {str(question.index): question for question in read.questions}
    missing = [str(q.index) for q in clean.questions if str(q.index) not in rows]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise DataError(
            f"{file.path} lacks {len(missing)} of the {len(clean.questions)} questions of {clean.name}: "
            f"index {', '.join(missing[:_NAMED])}{more}.",
            hint="The download may be incomplete, or the two are of different versions of the benchmark.",
        )
    differ = sum(_text(q) != _text(rows[str(q.index)]) for q in clean.questions)
    return ReleasedCopy(clean.name, level, file.corruption or None, read, rows, differ)


def _text(question: Question) -> list[str]:
    texts = (question.text, question.answer, *question.options.values())
    return [" ".join(text.split()) for text in texts]
