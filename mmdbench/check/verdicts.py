"""Verdicts: each watched row's paired interval against its tolerance.

loss = baseline − run, in points, over the same questions:

regressed     the loss is real (one-sided p ≤ α after Holm's correction over all rows) and at
              least the tolerance
improved      the gain is real (the same test on the other side)
tolerated     the loss is real, and one above the tolerance is excluded (the one-sided 1 − α bound
              lies within it)
unchanged     no loss is found, and one above the tolerance is excluded, or not a single grade differs
cannot tell   anything else: more questions are needed, or a wider tolerance

Under no change a check calls any row regressed with probability α at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from mmdbench.check.baseline import Baseline
from mmdbench.check.gates import ALL, MACRO, Gate, WatchedRow, default_gates, watched_rows
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import IncomparableError
from mmdbench.report.paired_gaps import Gap, gap_of, mean_gap
from mmdbench.report.question_series import make_series, score_of
from mmdbench.report.tables.run_notes import run_notes
from mmdbench.results.freshness import Freshness, freshness, stale_problem
from mmdbench.results.graded_run import RunResults
from mmdbench.results.hit_columns import HitColumns
from mmdbench.stats import Estimate, detectable_given, flips_of, holm, mcnemar_above, questions_needed
from mmdbench.system.bounds import require_above

__all__ = ["ALPHA", "CheckReport", "CheckRow", "Verdict", "check_run", "let_pass", "refusal"]

ALPHA = 0.05
"""The chance that a check without any change fails."""

Verdict = Literal["regressed", "tolerated", "unchanged", "improved", "cannot tell"]
_EXIT = {"regressed": 1, "cannot tell": 3}


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One watched row: scores (0..100), the loss in points with its 1 − 2α interval, and the verdict.

    `p_loss` is the one-sided p-value of no loss, `p_adjusted` after Holm's correction. `detectable`
    is the loss in points that these questions would show in 80 of 100 runs, at α shared by all rows;
    `needed`, of a row without a verdict, the number of questions that would decide as often. Both are None
    if there is none.
    """

    name: str
    tolerance: float
    questions: int
    baseline: float
    score: float
    loss: float
    low: float
    high: float
    p_loss: float
    p_adjusted: float
    detectable: float | None
    needed: int | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All rows of a check, its exit code, differences from the baseline, and why nothing was compared.

    `run_notes` are the notes that limit the run's numbers, the same as in its report; `freshness` holds
    the ages of its replies.
    """

    model: str
    rows: tuple[CheckRow, ...]
    exit_code: int
    notes: tuple[str, ...] = ()
    problem: str = ""
    alpha: float = ALPHA
    run_notes: tuple[str, ...] = ()
    freshness: Freshness | None = None


def check_run(
    run: RunResults,
    baseline: Baseline,
    spec: Spec,
    gates: Sequence[Gate] = (),
    alpha: float = ALPHA,
    max_age: timedelta | None = None,
) -> CheckReport:
    """Compare a run with its baseline at every row that the gates watch.

    Args:
        run: The graded run.
        baseline: The baseline of an earlier run.
        spec: The corruptions and their categories.
        gates: Rows to watch; none for those of `default_gates`.
        alpha: Chance that a check without any change fails, above 0 and below 0.5.
        max_age: The greatest age of a reply; None for any.

    Returns:
        A verdict for each row. A run that is incomplete, too old, not judged or not readable gets none,
        and exit code 4.

    Raises:
        UsageError: `alpha` is out of range, or a gate names no row.
        IncomparableError: Run and baseline are of different questions or settings.
    """
    require_above("alpha", alpha, 0, below=0.5)
    refused = refusal(run, alpha, max_age)
    if refused:
        return refused
    before, found = baseline.as_run(run)
    watched = watched_rows(gates or default_gates(run, alpha), run, spec)
    rows = [(row, *_gap(row, before, run, spec)) for row in watched]
    missing = [row.name for row, gap, *_ in rows if gap is None]
    if missing:
        raise IncomparableError(
            f"The baseline holds no grade of {', '.join(missing)}.",
            hint="Write a new baseline with --accept, or gate other rows.",
        )
    known = [(row, gap, old, new) for row, gap, old, new in rows if gap is not None]
    p_values = [_p_values(gap) for _, gap, *_ in known]
    losses = [loss for loss, _ in p_values]
    adjusted, gains = holm(losses), holm([gain for _, gain in p_values])
    made = tuple(
        _row(*known[i], p=(losses[i], adjusted[i], gains[i]), rates=(alpha, alpha / len(known)))
        for i in range(len(known))
    )
    codes = {_EXIT.get(row.verdict, 0) for row in made}
    code = 1 if 1 in codes else 3 if 3 in codes else 0
    notes = tuple(str(difference) for difference in found)
    return CheckReport(run.name, made, code, notes, "", alpha, run_notes(run), freshness(run))


def refusal(run: RunResults, alpha: float = ALPHA, max_age: timedelta | None = None) -> CheckReport | None:
    """The report of a check that gives no verdict, whatever the baseline.

    Args:
        run: The graded run.
        alpha: The error rate that the report names.
        max_age: The greatest age of a reply; None for any.

    Returns:
        A report with the problem and exit code 4; None for a run that can be compared.
    """
    problem = run.problem or stale_problem(run, max_age)
    if not problem:
        return None
    return CheckReport(run.name, (), 4, (), problem, alpha, run_notes(run), freshness(run))


def let_pass(report: CheckReport) -> CheckReport:
    """The report with exit code 0 where rows without a verdict are all that stands against it."""
    return replace(report, exit_code=0) if report.exit_code == _EXIT["cannot tell"] else report


def _row(
    row: WatchedRow,
    gap: Gap,
    old: float,
    new: float,
    *,
    p: tuple[float, float, float],
    rates: tuple[float, float],
) -> CheckRow:
    alpha, shared = rates
    loss = gap.estimate
    low, high = loss.bounds(1 - 2 * alpha)
    verdict: Verdict = "cannot tell"
    if gap.equal:
        verdict = "unchanged"
    elif p[1] <= alpha and loss.value >= row.tolerance:
        verdict = "regressed"
    elif p[2] <= alpha:
        verdict = "improved"
    elif high <= row.tolerance:
        verdict = "tolerated" if p[1] <= alpha else "unchanged"
    reach = detectable_given(loss, shared, whole=100)
    needed = _needed(loss, row.tolerance, shared) if verdict == "cannot tell" else None
    numbers = (loss.n, old, new, loss.value, low, high, p[0], p[1], reach if reach < math.inf else None)
    return CheckRow(row.name, row.tolerance, *numbers, needed, verdict)


def _needed(loss: Estimate, tolerance: float, alpha: float) -> int | None:
    """The number of questions that would decide, if as many answers flip; None if no number would."""
    flips = flips_of(loss, whole=100)
    found = questions_needed(tolerance / 100, flips, alpha)
    if found <= loss.n:  # there are enough for the tolerance, but the loss is close to it
        found = questions_needed(abs(tolerance - loss.value) / 100, flips, alpha)
    return int(found) if found < math.inf else None


def _p_values(gap: Gap) -> tuple[float, float]:
    """One-sided p-values of a loss and of a gain."""
    if gap.equal:
        return 1.0, 1.0
    if gap.only_first is not None and gap.only_second is not None:
        lost, gained = gap.only_first, gap.only_second
        return mcnemar_above(lost, gained), mcnemar_above(gained, lost)
    p = gap.estimate.p_above()
    return p, 1 - p


def _gap(
    row: WatchedRow, before: RunResults, after: RunResults, spec: Spec
) -> tuple[Gap | None, float, float]:
    sides = [_hits(row, run, spec) for run in (before, after)]
    pooled = row.part != ALL and not after.apart
    parts = {"": sides} if pooled else {b: [side.of(b) for side in sides] for b in sides[1].bench.distinct}
    gaps: list[Gap] = []
    scores: list[list[float]] = [[], []]
    for part in parts.values():
        series = [make_series(side, apart=after.apart) for side in part]
        gap = gap_of(row.name, row.level, series[0], series[1]) if len(part[0]) else None
        if gap is None:
            return None, 0.0, 0.0
        gaps.append(gap)
        for place, one in enumerate(series):
            score = score_of(one)
            scores[place].append(score.value if score else 0.0)
    if not gaps:
        return None, 0.0, 0.0
    gap = gaps[0] if len(gaps) == 1 else mean_gap(row.name, row.level, gaps)
    return gap, sum(scores[0]) / len(gaps), sum(scores[1]) / len(gaps)


def _hits(row: WatchedRow, run: RunResults, spec: Spec) -> HitColumns:
    names = {row.part} | {name for name, c in spec.corruptions.items() if c.category == row.part}
    hits = run.columns.at(row.level)
    macro = row.bench == MACRO
    hits = hits.only(hits.bench.where(lambda name: name not in run.outside if macro else name == row.bench))
    if row.part == ALL:
        return hits
    part = hits.only(hits.corruption.where(names.__contains__))
    return part if run.apart else part.without_strata()
