"""Scores and drops by level: of benchmarks, of their mean, and of parts such as categories.

A score at a level is the mean over questions of their hits there (over a question's corruptions
first, where it met several). A drop is the mean paired difference clean − level, in points.
The mean over benchmarks is the unweighted one over those that are scored. A benchmark is one of them
however many files it has; further files (CV-Bench-3D) and metrics are rows of their own. Benchmarks whose
published pictures are degraded already have one score, and enter a mean of their own with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mmdbench.corruptions.spec import Spec
from mmdbench.records import CLEAN, RECODED, UNALTERED, UNDEGRADED, in_order
from mmdbench.report.question_series import Series, change, make_series, score_of
from mmdbench.results.graded_run import RunResults
from mmdbench.results.hit_columns import CodedColumn, HitColumns, in_columns
from mmdbench.stats import Estimate, mean_difference, mean_score
from mmdbench.system.digest import bytes_digest, value_digest

__all__ = [
    "AVERAGE",
    "AVERAGE_NAME",
    "CORRUPTION",
    "CORRUPTION_CATEGORY",
    "QUESTION_CATEGORY",
    "Breakdown",
    "LevelRow",
    "Partition",
    "average_names",
    "breakdown",
    "counted_hits",
    "degraded_levels",
    "levels_of",
    "main_rows",
    "mean_rows",
    "overall_row",
    "partitions",
    "row_name",
    "run_series",
    "why_no_difference",
    "worst_level",
]

AVERAGE = "/average"
"""Id of the mean over all benchmarks; no benchmark's id holds a slash."""

AVERAGE_NAME = "AVG"

QUESTION_CATEGORY, CORRUPTION_CATEGORY, CORRUPTION = "question-category", "corruption-category", "corruption"
"""Ids of the breakdowns, in the order of `partitions`."""


@dataclass(frozen=True, slots=True)
class LevelRow:
    """A row of scores: for each level the score, and the drop from clean to it, in points (0..100).

    Where levels hold other questions, the clean score and `questions` are those of the hardest level;
    `bases` then holds the clean score of the questions of each drop.

    `id` is the benchmark or part that the row is of, by which rows are matched; `name` is what people
    read, and is never compared. `covers` are the ids of the benchmarks that it is the mean over, `asked` is
    a digest of the questions and corruptions at each level (none of a published result). A row that is
    `outside` does not count in the mean over benchmarks.
    """

    id: str
    name: str
    questions: int
    scores: Mapping[str, Estimate]
    drops: Mapping[str, Estimate]
    run: str = ""
    bases: Mapping[str, Estimate] = field(default_factory=dict)
    covers: tuple[str, ...] = ()
    asked: Mapping[str, str] = field(default_factory=dict)
    outside: bool = False

    def base(self, level: str) -> Estimate | None:
        """The clean score of the questions that the drop to a level is of."""
        return self.bases.get(level, self.scores.get(CLEAN))

    @property
    def is_average(self) -> bool:
        """True for the mean over benchmarks, all or some."""
        return self.id.startswith(AVERAGE)

    def drop_percent(self, level: str) -> float | None:
        """The drop in percent of the same questions' clean score; None if that is 0 or missing."""
        clean = self.base(level)
        if clean is None or level not in self.drops or not clean.value:
            return None
        return 100 * self.drops[level].value / clean.value


def why_no_difference(new: LevelRow, old: LevelRow, level: str) -> str:
    """The rule of every report and comparison: differences are between scores of the same questions.

    Args:
        new: The row whose score counts positive.
        old: The row that is subtracted.
        level: The level of both scores.

    Returns:
        The reason why there is no difference; empty if there is one.
    """
    for row in (new, old):
        if level not in row.scores:
            return f"{row.run} has no score"
    if set(new.covers) != set(old.covers):
        return f"{new.run} covers {', '.join(new.covers)}, {old.run} covers {', '.join(old.covers)}"
    if new.asked and old.asked:
        same = new.asked.get(level) == old.asked.get(level)
        return "" if same else f"{new.run} and {old.run} were asked other questions"
    # A published result names no questions, only their number: a sample's is smaller.
    counts = [row.scores[level].n for row in (new, old)]
    if counts[0] == counts[1]:
        return ""
    return f"{new.run} counts {counts[0]} questions, {old.run} {counts[1]}"


@dataclass(frozen=True, slots=True)
class Partition:
    """A way to divide hits into parts: the part of a hit (None for no part), and the parts in order.

    `column` is the column of the hits that the part depends on. Parts that `order` does not name follow in
    the order of the hits.
    """

    column: Callable[[HitColumns], CodedColumn]
    part_of: Callable[[str | None], str | None]
    order: tuple[str, ...] = ()

    def divide(self, hits: HitColumns) -> dict[str, HitColumns]:
        """The hits of each part that has any, in the order of the parts."""
        part = self.column(hits).renamed(self.part_of)
        met = [name for name in part.distinct if name is not None]
        ordered = dict.fromkeys(name for name in (*self.order, *met) if name in met)
        return {name: hits.only(part.equals(name)) for name in ordered}


def partitions(spec: Spec) -> tuple[Partition, Partition, Partition]:
    """The partitions by question category, by corruption category and by corruption."""
    category = {name: c.category for name, c in spec.corruptions.items()}
    return (
        Partition(lambda hits: hits.category, lambda name: name or None),
        Partition(
            lambda hits: hits.corruption, lambda name: category.get(name or ""), tuple(spec.categories)
        ),
        Partition(lambda hits: hits.corruption, lambda name: name, tuple(spec.corruptions)),
    )


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Rows of the parts of a partition, such as those of the corruptions.

    `id` tells the partition to the program, `title` to people.
    """

    id: str
    title: str
    rows: tuple[LevelRow, ...]


def levels_of(runs: Iterable[RunResults]) -> tuple[str, ...]:
    """The levels of all runs together, clean first and hard last."""
    present: set[str] = set()
    for run in runs:
        if run.unaltered:
            present.add(UNALTERED)
        if not run.unaltered or run.unaltered < set(run.benches):
            present.update(run.plan.levels)
        elif run.plan.degrade_again:
            present.update(degraded_levels(run.plan.levels))
    return in_order(present)


def degraded_levels(levels: Iterable[str]) -> tuple[str, ...]:
    """The levels at which pictures are corrupted, in their order."""
    return tuple(level for level in levels if level not in UNDEGRADED)


def worst_level(levels: Sequence[str]) -> str:
    """The hardest degraded level; empty if there is none."""
    return (degraded_levels(levels) or ("",))[-1]


def run_series(run: RunResults) -> dict[tuple[str, str], Series]:
    """The series of each benchmark and level that has hits."""
    found = {}
    for bench in run.columns.bench.distinct:
        hits = run.columns.of(bench)
        found.update({(bench, lv): make_series(hits.at(lv), apart=run.apart) for lv in hits.level.distinct})
    return found


def main_rows(run: RunResults, levels: Sequence[str]) -> list[LevelRow]:
    """The rows of a run: its benchmarks, scored or not, their means, and rows outside the means."""
    series = run_series(run)

    def row(bench: str) -> LevelRow:
        own = {lv: series[bench, lv] for lv in levels if (bench, lv) in series}
        made = _row((run.benchmark(bench), run.title(bench)), own, levels, run.name)
        return replace(made, covers=(made.id,), outside=bench in run.outside)

    plain = [row(bench) for bench in run.benches if bench not in run.outside | run.unaltered]
    degraded = [row(bench) for bench in run.benches if bench in run.unaltered - run.outside]
    outside = [row(bench) for bench in run.benches if bench in run.outside]
    for names, hits in run.beside.items():
        columns = in_columns(hits)
        own = {lv: make_series(columns.at(lv), apart=run.apart) for lv in levels}
        own = {level: found for level, found in own.items() if len(found.hits)}
        outside.append(replace(_row(names, own, levels, run.name), covers=names[:1], outside=True))
    order = {run.benchmark(bench): place for place, bench in enumerate(run.benches)}
    rows = sorted((*plain, *degraded), key=lambda one: order[one.id])
    return [*rows, *mean_rows(plain, degraded, levels), *outside]


def mean_rows(
    plain: Sequence[LevelRow], degraded: Sequence[LevelRow], levels: Sequence[str]
) -> list[LevelRow]:
    """Rows of the means over benchmarks, where there are at least two.

    Args:
        plain: The rows of benchmarks that are asked at every level.
        degraded: The rows of those whose published pictures are degraded already.
        levels: The levels of the rows.

    Returns:
        The mean over the benchmarks of one kind at each level; and at the worst level the mean that
        those degraded already enter with their only score, as in the paper's table 1.
    """
    found = []
    one_kind = plain or degraded
    scored = [row for row in one_kind if row.scores]
    if len(scored) > 1:
        names = average_names(len(scored), whole=len(scored) == len(one_kind))
        found.append(_average(names, scored, levels))
    worst = worst_level(levels)
    entering = [row for row in degraded if UNALTERED in row.scores]
    if plain and scored and entering and all(worst in row.scores for row in scored):
        names = average_names(len(scored), whole=len(scored) == len(plain))
        ids, words = ("+".join(row.id for row in entering), ", ".join(row.name for row in entering))
        at = [replace(row, scores={worst: row.scores[worst]}) for row in scored]
        at += [
            replace(
                row,
                scores={worst: row.scores[UNALTERED]},
                drops={},
                asked={worst: row.asked.get(UNALTERED, "")},
            )
            for row in entering
        ]
        found.append(_average((f"{names[0]}+{ids}", f"{names[1]} with {words}"), at, [worst]))
    return found


def overall_row(rows: Iterable[LevelRow]) -> LevelRow | None:
    """The row of a whole run: the mean over its benchmarks, or its only benchmark; None without a score."""
    scored = [row for row in rows if row.scores and not row.outside]
    means = [row for row in scored if row.is_average]
    return next(iter(means or scored), None)


def average_names(count: int, *, whole: bool) -> tuple[str, str]:
    """Id and name of the mean over `count` benchmarks; `whole` if they are all benchmarks."""
    some = "" if whole else f" of {count}"
    return AVERAGE + some, AVERAGE_NAME + some


def row_name(run: RunResults, row_id: str) -> str:
    """The name in tables of a benchmark's file, of the mean over all benchmarks or of a part."""
    return AVERAGE_NAME if row_id == AVERAGE else run.title(row_id)


def breakdown(run: RunResults, levels: Sequence[str], partition: Partition) -> list[LevelRow]:
    """A row for each part of the run's hits, compared with the clean score of its own questions.

    Where each question meets several corruptions, a row is the unweighted mean over benchmarks;
    under `mixed` a benchmark may have few questions in a part, so there all questions are pooled.

    Args:
        run: The graded run.
        levels: The levels of the rows.
        partition: The parts; a part without a hit has no row.

    Returns:
        The rows in the order of the parts.
    """
    counted = counted_hits(run)
    clean = make_series(counted.at(CLEAN), apart=run.apart)
    rows = []
    for name, hits in partition.divide(counted).items():
        benches = hits.bench.distinct
        parts = [hits.of(bench) for bench in benches] if run.apart else [hits]
        rows_of = [_part(name, part, clean, levels, run) for part in parts]
        row = rows_of[0] if len(rows_of) == 1 else _average((name, name), rows_of, levels)
        covers = [run.benchmark(bench) for bench in benches]
        # A score of pooled questions is of another kind than a mean over the benchmarks.
        pooled = len(covers) > 1 and not run.apart
        rows.append(
            replace(row, covers=(f"the questions of {' + '.join(covers)}",) if pooled else tuple(covers))
        )
    return [row for row in rows if row.scores]


def counted_hits(run: RunResults) -> HitColumns:
    """The hits of the benchmarks that count in a mean, without strata if the run pools benchmarks.

    A stratum belongs to one benchmark.
    """
    hits = run.columns.only(run.columns.bench.where(lambda bench: bench not in run.outside))
    return hits if run.apart else hits.without_strata()


def _part(name: str, hits: HitColumns, clean: Series, levels: Sequence[str], run: RunResults) -> LevelRow:
    here = {level: hits.at(level) for level in levels if level != CLEAN}
    by_level = {level: make_series(part, apart=run.apart) for level, part in here.items() if len(part)}
    places = clean.places(CodedColumn.of(hits.question.distinct))
    base = clean.hits.only(places[places >= 0])
    if len(base) and CLEAN in levels:
        by_level[CLEAN] = make_series(base, apart=run.apart)
    return _row((name, name), by_level, levels, run.name)


def _row(names: tuple[str, str], series: Mapping[str, Series], levels: Sequence[str], run: str) -> LevelRow:
    scores: dict[str, Estimate] = {}
    drops: dict[str, Estimate] = {}
    bases: dict[str, Estimate] = {}
    for level in levels:
        if level not in series:
            continue
        estimate = score_of(series[level])
        if estimate is not None:
            scores[level] = estimate
        if level != CLEAN and CLEAN in series:
            drop = change(series[CLEAN], series[level])
            if drop is not None:
                drops[level] = drop
                base = series[CLEAN].only(series[level])
                if base is not series[CLEAN]:
                    bases[level] = _known(score_of(base))
    questions = max((e.n for e in scores.values()), default=0)
    worst = worst_level(list(drops)) or RECODED
    if worst in bases:
        scores[CLEAN] = bases[worst]
        questions = scores[CLEAN].n
    digests = {level: _asked(series[level]) for level in scores}
    return LevelRow(*names, questions, scores, drops, run, bases, asked=digests)


def _asked(series: Series) -> str:
    """A digest of the questions and corruptions of a series, the same for equal ones in one process."""
    return bytes_digest(np.sort(series.hits.asked).tobytes())


def _known(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


def _average(names: tuple[str, str], rows: Sequence[LevelRow], levels: Sequence[str]) -> LevelRow:
    scores: dict[str, Estimate] = {}
    drops: dict[str, Estimate] = {}
    for level in levels:
        score = mean_score([row.scores[level] for row in rows if level in row.scores], whole=100)
        drop = mean_difference([row.drops[level] for row in rows if level in row.drops])
        if score is not None and all(level in row.scores for row in rows):
            scores[level] = score
        if drop is not None and all(level in row.drops for row in rows):
            drops[level] = drop
    bases: dict[str, Estimate] = {}
    questions = sum(row.questions for row in rows)
    if any(row.bases for row in rows):
        for level in drops:
            base = mean_score([b for row in rows if (b := row.base(level)) is not None], whole=100)
            bases |= {level: base} if base is not None else {}
        # A benchmark may have no question at the hardest level of another.
        worst = worst_level(list(drops))
        if worst in bases:
            scores[CLEAN], questions = bases[worst], bases[worst].n
    digests = {
        level: value_digest(sorted(row.asked[level] for row in rows))
        for level in levels
        if all(level in row.asked for row in rows)
    }
    covers = tuple(dict.fromkeys(bench for row in rows for bench in row.covers))
    return LevelRow(*names, questions, scores, drops, rows[0].run, bases, covers, digests)
