"""MMVP: plain accuracy, and the share of image pairs with both questions right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mmdbench.records import Index, Question
from mmdbench.scoring.families.plain import ACCURACY, grade_plain, total_plain
from mmdbench.scoring.families.prompts import CHOICES_SUMMARY, choices_prompt
from mmdbench.scoring.family import Family, Grading, Metric
from mmdbench.scoring.sheet import Sheet, Totals, by_index
from mmdbench.scoring.tables import mean, percent

__all__ = ["MMVP"]


def _pairs(asked: Mapping[Index, str]) -> tuple[list[tuple[Index, Index]], str]:
    """The pairs of indices, from the text of each row by index in order; without pairs, the reason."""
    rows = list(asked)
    if not rows:
        return [], "there are no rows"
    if len(rows) % 2:
        return [], f"{len(rows)} rows is an odd number"
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    for first, second in pairs:
        if asked[first] != asked[second]:
            return [], f"the rows with index {first!r} and {second!r} ask different questions"
    return pairs, ""


def _question_pairs(questions: Sequence[Question]) -> list[tuple[Question, Question]]:
    by = {question.index: question for question in by_index(questions)}
    pairs, _ = _pairs({index: question.text for index, question in by.items()})
    return [(by[first], by[second]) for first, second in pairs]


def _units(questions: Sequence[Question]) -> Iterator[Sequence[Question]]:
    yield from _question_pairs(questions) or ([question] for question in questions)


def _partners(questions: Sequence[Question]) -> Mapping[Index, Index]:
    # Half a pair in a sample would leave the pair metric without a value.
    return {second.index: first.index for first, second in _question_pairs(questions)}


_PAIR_ACCURACY = Metric("pair_accuracy", "pair accuracy", units=_units)


def _total(sheet: Sheet, hits: Mapping[Index, float]) -> Totals:
    """Plain accuracy and pair accuracy; the latter is None if the rows form no pairs."""
    plain = total_plain(sheet, hits)
    rows = sheet.by_index()
    pairs, reason = _pairs({row.index: row.question for row in rows})
    both = None if reason else mean(int(hits[first] > 0 and hits[second] > 0) for first, second in pairs)
    metrics = {**plain.metrics, _PAIR_ACCURACY.key: percent(both), "pairs": len(pairs)}
    warnings = (f"The pair metric of MMVP is null: {reason}.",) if reason else ()
    if not sheet.rules.pair_headline:
        return replace(plain, metrics=metrics, warnings=warnings)
    average = mean(hits[row.index] for row in rows)
    return replace(
        plain,
        headline=percent(both),
        metric=_PAIR_ACCURACY.key,
        metrics=metrics,
        flat=[{"Average": average, "Overall": both}],
        warnings=warnings,
    )


MMVP = Family(
    "mmvp",
    prompt=choices_prompt,
    metrics=(ACCURACY, _PAIR_ACCURACY),
    grading=Grading(grade_plain, _total),
    prompt_summary=CHOICES_SUMMARY,
    grading_summary="the option that a reply names; per cent of the questions (clear) "
    "or of the pairs (vlmevalkit)",
    partners=_partners,
    # Never recognised: its pairs differ from plain questions only in what is reported.
    selectable=True,
)
