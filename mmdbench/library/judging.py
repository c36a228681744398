"""Scorings with a judge for a verb: the way to report them, and their refusal where the judge failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mmdbench.benches.catalog import bench_title
from mmdbench.errors import IncompleteError

if TYPE_CHECKING:
    from mmdbench.results.rescoring import Regraded
    from mmdbench.scoring import Score

__all__ = ["refuse_unjudged", "shown_by_report"]


def refuse_unjudged(scores: Sequence[Score]) -> None:
    """Raise IncompleteError if a judge could not be asked, or settled none of the rows it was asked about."""
    failed = sum(grade.stage == "judge_error" for made in scores for grade in made.grades)
    if failed:
        raise IncompleteError(
            f"The judge could not be asked about {failed} rows, which count as misses.",
            hint="Run the same command again: only they are asked about.",
        )
    for made in scores:
        if made.judge_problem and not made.counts["judged"]:
            raise IncompleteError(
                f"{bench_title(made.bench)}: {made.judge_problem}.",
                hint="Read its replies in the judge's journal, and name another judge.",
            )


def shown_by_report(made: Regraded) -> Iterator[str]:
    """A line on how a report shows these grades, if it shows others by default."""
    from mmdbench.results.arms import read_plan
    from mmdbench.results.judging.asked import NO_JUDGE, default_judge
    from mmdbench.run.manifest import read_manifest

    rules, plan = made.rules, read_plan(made.folder)
    default = default_judge(read_manifest(made.folder))
    usual = default.name if default else ""
    options = [f"--protocol {rules.protocol}"] if rules.protocol != plan.protocol else []
    options += [f"--extraction {rules.extraction}"] if rules.extraction != plan.extraction else []
    judge = made.judged_by
    options += [f"--judge {judge or NO_JUDGE}"] if judge != usual else []
    if options and (rules.io, rules.on_unresolved) == ("literal", "miss"):
        by_default = f"{plan.protocol}, judge {usual or NO_JUDGE}"
        yield f"Reports show {by_default}; for these grades: mmdbench report RUN {' '.join(options)}"
