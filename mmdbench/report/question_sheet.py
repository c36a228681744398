"""One question of a benchmark: its text, a sheet of its pictures at every level, and replies to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import CLEAN, Cell, Question, RunPlan
from mmdbench.results.graded_run import RunResults
from mmdbench.system.printable import visible

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmdbench.benches import Bench

__all__ = ["find_question", "question_lines", "question_sheet", "reply_lines"]


def find_question(bench: Bench, index: str) -> Question:
    """The question with an index. Raises UnknownNameError if the benchmark has none."""
    for question in bench.questions:
        if str(question.index) == index:
            return question
    known = [str(question.index) for question in bench.questions]
    raise UnknownNameError(f"index of {bench.name}:", index, known)


def question_lines(question: Question) -> list[str]:
    """Lines of text: the question, its options with the right one marked, and its category."""
    lines = [f"{question.bench}:{question.index}  {question.text or question.fields.get('prompt', '')}"]
    lines += [
        f"  {'→' if label == question.answer else ' '} {label}. {text}"
        for label, text in question.options.items()
    ]
    if question.answer and question.answer not in question.options:
        lines.append(f"  → {question.answer}")
    if question.category:
        lines.append(f"  category: {question.category}")
    return [part for line in lines for part in visible(line).split("\n")]


def reply_lines(run: RunResults, question: Question, corruptions: Sequence[str]) -> Iterator[str]:
    """Replies of a run to one question, with their grades.

    Args:
        run: The graded run.
        question: A question of one of its benchmarks.
        corruptions: Only these corruptions; all if empty.

    Yields:
        A line of text for each level and corruption, or one that says that the run did not ask the question.
    """
    grades, own = run.grades, (question.bench, question.index)
    if not any((cell.bench, cell.index) == own for cell in run.cells):
        yield f"  {run.name}: did not ask this question"
    for cell in run.cells:
        if (cell.bench, cell.index) != own:
            continue
        if cell.corruption and corruptions and cell.corruption not in corruptions:
            continue
        reply = run.replies.get(cell)
        grade = grades.get(cell)
        place = f"{cell.level} {cell.corruption or ''}".strip()
        said = "missing" if reply is None else reply.text or f"[{reply.status}] {reply.reason}".strip()
        verdict = f"{grade.verdict} ({grade.label or '–'}, {grade.stage})" if grade else "not graded"
        yield f"  {run.name}, {place}: {verdict}: {' '.join(said.split())}"


def question_sheet(
    question: Question, corruptions: Sequence[str], plan: RunPlan, spec: Spec, width: int = 240
) -> Image:
    """Draw the pictures that a plan shows of a question: a row for each corruption (and picture).

    Args:
        question: The question.
        corruptions: Names of the corruptions.
        plan: The plan, which sets seed, profile and codec.
        spec: The corruptions.
        width: Width of one picture, in pixels.

    Returns:
        An RGB image, with a column for each level.

    Raises:
        UsageError: The question has no picture, or the design is `released`, which shows the
            authors' own pictures.
    """
    if plan.design == "released":
        raise UsageError(
            "The run showed the authors' own degraded pictures, which this sheet cannot show.",
            hint="Leave --run out for the pictures that mmdbench makes.",
        )
    from mmdbench.system.contact_sheet import contact_sheet, thumbnail
    from mmdbench.system.images import decode_image
    from mmdbench.variants.recipes import clean_image, make_variant, recipe_for

    levels = (CLEAN, *spec.intensities)
    rows: list[tuple[str, list[Image]]] = []
    profiles: set[bytes] = set()
    for number, source in enumerate(question.images):
        clean = clean_image(source.read(), source.where)
        profiles.add(clean.icc)
        for name in corruptions:
            made = []
            for level in levels:
                cell = Cell(question.bench, question.index, level, None if level == CLEAN else name)
                variant = make_variant(clean, recipe_for(cell, clean.digest, plan, spec, clean.icc_digest))
                made.append(thumbnail(decode_image(variant.image.data, source.where), width))
            rows.append((f"{name} ({number + 1})" if number else name, made))
    if not rows:
        raise UsageError(f"{question.bench}:{question.index} has no picture.")
    return contact_sheet(levels, rows, profiles.pop() if len(profiles) == 1 else b"")
