"""`show`: one question, its pictures at every level, and replies to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdbench.corruptions.definition import Corruption
from mmdbench.corruptions.plugins import require_code, use_corruptions
from mmdbench.corruptions.spec_file import described_spec, load_spec
from mmdbench.errors import DataError, UsageError
from mmdbench.library.run import Run
from mmdbench.library.sources import Sources, open_benches
from mmdbench.library.user_interface import UserInterface
from mmdbench.records import RunPlan
from mmdbench.report.question_sheet import find_question, question_lines, question_sheet, reply_lines
from mmdbench.system.inner_paths import plain_name

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ShownQuestion", "show"]


@dataclass(frozen=True, slots=True)
class ShownQuestion:
    """A question: lines of its text and of replies, a sheet of its pictures, and a name for its file."""

    lines: tuple[str, ...]
    sheet: Image
    file: str


def show(
    question: str,
    *runs: Run,
    corruptions: Sequence[str | Corruption] = (),
    sources: Sources | None = None,
    width: int = 240,
    plan: RunPlan | None = None,
) -> ShownQuestion:
    """One question with its pictures at all levels, and replies of runs to it.

    Args:
        question: A benchmark and an index, `MMStar:17`.
        *runs: Runs whose replies are shown; seed and profile are those of the first.
        corruptions: Only these corruptions; by default those of the runs, else all.
        sources: The places of the benchmark.
        width: Width of one picture on the sheet, in pixels.
        plan: Seed and profile without a run.

    Returns:
        The question.

    Raises:
        UsageError: The question is not named by benchmark and index.
        UnknownNameError: There is no such benchmark, index or corruption.
    """
    name, colon, index = question.rpartition(":")
    if not colon or not name:
        raise UsageError(f"QUESTION must be BENCHMARK:INDEX, got {question!r}.", hint="Write MMStar:17.")
    wanted = list(use_corruptions(corruptions)) or (list(load_spec().shipped) if corruptions else [])
    results = [run.results for run in runs]
    for run in results:
        for added in described_spec(run.manifest).corruptions.values():
            require_code(added.name, added.code)
    spec = load_spec()
    (bench,) = open_benches([name], sources or Sources(answers="any"), UserInterface(quiet=True))
    asked = find_question(bench, index)
    here = [
        cell for r in results for cell in r.cells if (cell.bench, cell.index) == (asked.bench, asked.index)
    ]
    met = dict.fromkeys(cell.corruption for cell in here if cell.corruption)
    names = wanted or list(met) or list(spec.shipped)
    lines = [*question_lines(asked)]
    for run in results:
        lines += reply_lines(run, asked, wanted)
    drawn = results[0].plan if results else plan or RunPlan("", (bench.name,))
    sheet = question_sheet(asked, names, drawn, spec, width)
    file = plain_name(Path(), f"{bench.name}_{asked.index}.png", bench.path, DataError)
    return ShownQuestion(tuple(lines), sheet, str(file))
