"""One question as a model meets it: its pictures at every level on one sheet, its text, and replies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import CLEAN, Cell, Question, RunPlan
from mmdbench.results.graded_run import RunResults

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmdbench.benches import Bench

__all__ = ["find_question", "question_lines", "question_sheet", "reply_lines"]


def find_question(bench: Bench, index: str) -> Question:
    """The question of that index. Raises UnknownNameError."""
    for question in bench.questions:
        if str(question.index) == index:
            return question
    known = [str(question.index) for question in bench.questions]
    raise UnknownNameError(f"index of {bench.name}:", index, known)


def question_lines(question: Question) -> list[str]:
    """The question, its options and its answer, a line each."""
    lines = [f"{question.bench}:{question.index}  {question.text or question.fields.get('prompt', '')}"]
    lines += [
        f"  {'→' if label == question.answer else ' '} {label}. {text}"
        for label, text in question.options.items()
    ]
    if question.answer and question.answer not in question.options:
        lines.append(f"  → {question.answer}")
    if question.category:
        lines.append(f"  category: {question.category}")
    return lines


def reply_lines(run: RunResults, question: Question, corruptions: Sequence[str]) -> Iterator[str]:
    """What the run's model replied to the question at each level, and how that was graded."""
    grades = {
        (arm.level, arm.corruption if run.apart else None): grade
        for arm in run.arms
        for grade in arm.score.grades
        if (grade.bench, grade.index) == (question.bench, question.index)
    }
    for cell in run.cells:
        if (cell.bench, cell.index) != (question.bench, question.index):
            continue
        if cell.corruption and corruptions and cell.corruption not in corruptions:
            continue
        reply = run.replies.get(cell)
        grade = grades.get((cell.level, cell.corruption if run.apart else None))
        place = f"{cell.level} {cell.corruption or ''}".strip()
        said = "missing" if reply is None else reply.text or f"[{reply.status}] {reply.reason}".strip()
        verdict = f"{grade.verdict} ({grade.label or '–'}, {grade.stage})" if grade else "not graded"
        yield f"  {run.name}, {place}: {verdict}: {' '.join(said.split())}"


def question_sheet(
    question: Question, corruptions: Sequence[str], plan: RunPlan, spec: Spec, width: int = 240
) -> Image:
    """An RGB sheet of the very pictures that the plan shows: a row for each corruption (and picture).

    `width` is that of one picture, in pixels. Raises UsageError for a question without pictures
    and for a plan of the design `released`, whose pictures are the authors'.
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
    for number, source in enumerate(question.images):
        clean = clean_image(source.read(), source.where)
        for name in corruptions:
            made = []
            for level in levels:
                cell = Cell(question.bench, question.index, level, None if level == CLEAN else name)
                variant = make_variant(clean, recipe_for(cell, clean.digest, plan, spec))
                made.append(thumbnail(decode_image(variant.image.data, source.where), width))
            rows.append((f"{name} ({number + 1})" if number else name, made))
    if not rows:
        raise UsageError(f"{question.bench}:{question.index} has no picture.")
    return contact_sheet(levels, rows)
