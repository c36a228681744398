"""Notes on how replies ended and were read: truncation, finish reasons, letters that are words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mmdbench.models.finish_reasons import FINISHED, finish_kind
from mmdbench.records import ANSWER, NO_USAGE, REPLACED, Grade
from mmdbench.results.graded_run import RunResults
from mmdbench.scoring import extraction_version
from mmdbench.scoring.families.plain import CUT_OFF, UNFINISHED_THOUGHT
from mmdbench.stats.rounding import fixed
from mmdbench.system.shapes import is_number

__all__ = ["reading_notes"]

_LONGEST_FINISH, _MOST_FINISHES = 40, 5


def reading_notes(results: RunResults) -> list[str]:
    """Notes on truncation, finish reasons, letters that are words, and grades of an earlier version."""
    grades = [grade for arm in results.arms for grade in getattr(arm.score, "grades", ())]
    earlier = (*_earlier_version(results, grades), *_earlier_task(results))
    return [
        *_truncation(results, grades),
        *_finish_reasons(results),
        *_replaced(results),
        *_uncounted(results),
        *earlier,
        *_words(results, grades),
    ]


def _truncation(results: RunResults, grades: list[Grade]) -> Iterator[str]:
    planned: Counter[str] = Counter()
    truncated: Counter[str] = Counter()
    for arm in results.arms:
        counts = getattr(arm.score, "counts", {})
        planned[arm.level] += counts.get("planned", 0)
        truncated[arm.level] += counts.get("truncated", 0)
    if not any(truncated.values()):
        return
    shares = (f"{level} {fixed(100 * truncated[level] / n, 1)} %" for level, n in planned.items() if n)
    stages = Counter(grade.stage for grade in grades)
    yield (
        f"Truncated replies by level: {', '.join(shares)}. {stages[UNFINISHED_THOUGHT]} end inside their "
        f"thought and {stages[CUT_OFF]} before a plain answer: they count as unresolved. "
        "With a higher token limit in the model card the model can finish."
    )


def _finish_reasons(results: RunResults) -> Iterator[str]:
    unknown: Counter[str] = Counter()
    unlike: Counter[str] = Counter()
    for reply in results.detailed.values():
        finish = str(reply.details.get("finish_reason") or "")
        native = str(reply.details.get("native_finish_reason") or "")
        if native and finish_kind(finish) == FINISHED:  # a gateway may call any end a stop
            finish = native
        kind = finish_kind(finish) or finish_kind(native)
        if finish and kind is None:
            unknown[finish] += 1
        elif kind not in (None, FINISHED) and reply.status in ("ok", "empty"):
            unlike[finish] += 1
    if unknown:
        yield (
            f"Replies that ended with a finish reason that mmdbench does not know: {_counted(unknown)}. "
            "They count as what their text says."
        )
    if unlike:
        yield (
            "Replies that count as answers although their finish reason says that they were cut, refused or "
            f"broken off: {_counted(unlike)}. An earlier version of mmdbench stored them so; "
            "mmdbench eval --fresh asks again."
        )


def _replaced(results: RunResults) -> Iterator[str]:
    found = [reply.details.get(REPLACED) for reply in results.detailed.values()]
    counts = [int(count) for count in found if count and is_number(count)]
    if counts:
        yield (
            f"{sum(counts)} characters of {len(counts)} replies are no Unicode (halves of surrogate pairs): "
            "they are read as U+FFFD."
        )


def _uncounted(results: RunResults) -> Iterator[str]:
    count = sum(NO_USAGE in reply.details for reply in results.detailed.values())
    if count:
        yield (
            f"{count} replies came with numbers of tokens that cannot be any: they count in no sum of tokens "
            f"or costs. What came is in `details.{NO_USAGE}` of each reply."
        )


def _counted(finishes: Counter[str]) -> str:
    shown = [f"{finish[:_LONGEST_FINISH]!r} {count}" for finish, count in sorted(finishes.items())]
    return ", ".join(shown[:_MOST_FINISHES]) + (" and others" if len(shown) > _MOST_FINISHES else "")


def _earlier_version(results: RunResults, grades: list[Grade]) -> Iterator[str]:
    version = extraction_version(results.plan.extraction)
    moved = sum(
        grade.stage in (UNFINISHED_THOUGHT, CUT_OFF) and "letters" in grade.details for grade in grades
    )
    if moved and "extraction" not in results.manifest:
        yield (
            f"The replies of this run were first read by {results.plan.extraction}/1, now by {version}: "
            f"it reads no answer from {moved} unfinished replies, of which version 1 read an option."
        )


def _earlier_task(results: RunResults) -> Iterator[str]:
    asked = (results.manifest.get("plan") or {}).get("protocol")
    if results.plan.task != ANSWER and asked and asked != results.plan.protocol:
        yield (
            f"The run was asked under {asked} and is graded by {results.plan.protocol}: its r_deg are "
            "those of Robust-R1's paper and code, not the formula of ours in perceive/2 and before."
        )


def _words(results: RunResults, grades: list[Grade]) -> Iterator[str]:
    words = [grade.details["word"] for grade in grades if "word" in grade.details]
    if not words:
        return
    note = (
        f"{len(words)} of {len(grades)} answers rest on a single letter that is also a word of the reply "
        f'("{words[0]} …"), as {results.plan.protocol} reads it.'
    )
    if results.plan.protocol == "clear/1":
        note += (
            " For the rules that count a letter among the last four words only: "
            "mmdbench report RUN --protocol vlmevalkit/1"
        )
    yield note
