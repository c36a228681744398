"""`score`: a stored run graded again by other rules, and predictions that were made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mmdbench.library.judging import refuse_unjudged, shown_by_report
from mmdbench.library.shown_tables import Origin, ShownTable
from mmdbench.library.sources import Sources, open_benches
from mmdbench.library.user_interface import UserInterface
from mmdbench.report.regraded import ScoredPart, counted, regraded_table
from mmdbench.report.tables.run_notes import run_notes
from mmdbench.results.graded_run import RunResults, catalogue_names
from mmdbench.results.judging.open import JudgeOptions
from mmdbench.results.rescoring import Regraded, RowChange, regrade_and_save, score_predictions
from mmdbench.scoring import Rules, Score

__all__ = [
    "JudgeOptions",
    "Regraded",
    "RegradedRun",
    "RowChange",
    "ScoredParts",
    "rescore",
    "score_file",
]

_MOST_ROWS = 24
"""Most rows of scores that are shown: a screen."""


@dataclass(frozen=True, slots=True)
class ScoredParts:
    """The scores of a run's arms or of a file of predictions, as people read them."""

    parts: tuple[ScoredPart, ...]
    origin: Origin

    @classmethod
    def of_predictions(cls, path: Path, made: Score) -> ScoredParts:
        """The score of a file of predictions."""
        titles = catalogue_names([made.bench])["titles"]
        return cls(
            (ScoredPart(titles[made.bench], path.name, made),), Origin(made.protocol, "", made.warnings)
        )

    def table(self) -> ShownTable:
        """The scores by benchmark and level, on one screen."""
        return ShownTable(regraded_table(self.parts, _MOST_ROWS), self.origin)

    def counted(self) -> str:
        """The numbers of replies by outcome."""
        return counted(self.parts)


@dataclass(frozen=True)
class RegradedRun:
    """A run graded by other rules: its scores arm by arm, the rows that changed, and the files written."""

    regraded: Regraded
    files: tuple[Path, ...]

    @cached_property
    def results(self) -> RunResults:
        """The graded run, as a report takes it."""
        return self.regraded.results

    @cached_property
    def notes(self) -> list[str]:
        """The notes that limit the scores."""
        return list(run_notes(self.results))

    @property
    def settled(self) -> bool:
        """True if the run is complete, and its judge settled what it was asked about."""
        return self.results.settled

    @property
    def scores(self) -> ScoredParts:
        """The scores as people read them."""
        results = self.results
        parts = (
            ScoredPart(
                results.title(arm.bench),
                arm.level,
                arm.score,
                arm.corruption or "" if results.apart else "",
                arm.arm.repeat,
            )
            for arm in self.regraded.arms
        )
        return ScoredParts(
            tuple(parts), Origin(results.plan.protocol, results.plan.design, tuple(self.notes))
        )

    def as_dict(self) -> dict[str, Any]:
        """The scores and changes as a JSON-able dict."""
        return {**self.regraded.as_dict(), "notes": self.notes}

    def shown_by_report(self) -> list[str]:
        """Lines on how a report shows these grades, if it shows others by default."""
        return list(shown_by_report(self.regraded))

    def require_judged(self) -> None:
        """Raise IncompleteError if the judge could not be asked, or settled nothing."""
        refuse_unjudged([arm.score for arm in self.regraded.arms])


def rescore(
    folder: str | Path,
    rules: Rules | None = None,
    judge: JudgeOptions | None = None,
    *,
    against: str | Path | None = None,
    default: bool = False,
    interface: UserInterface | None = None,
) -> RegradedRun:
    """Grade a stored run by other rules, and write the grades into its folder; the model is not asked.

    Args:
        folder: The run's folder.
        rules: Protocol, extraction and the like; by default the run's own.
        judge: The model that grades what rules cannot.
        against: Earlier grades to compare with; by default those of the run's own rules.
        default: Let reports show this judge from now on.
        interface: Shows the judge's progress, cost and notes.

    Returns:
        The scores, and the rows that changed.
    """
    with _judging(judge, interface) as judged_by:
        made, files = regrade_and_save(
            Path(folder),
            rules or Rules("", ""),
            judged_by,
            against=None if against is None else Path(against),
            default=default,
        )
    return RegradedRun(made, tuple(files))


def score_file(
    predictions: str | Path,
    bench: str | Path,
    rules: Rules | None = None,
    judge: JudgeOptions | None = None,
    *,
    sources: Sources | None = None,
    partial: bool = False,
    interface: UserInterface | None = None,
) -> Score:
    """Grade predictions that were made elsewhere.

    Args:
        predictions: File of predictions: `.xlsx`, `.tsv`, `.json`, `.jsonl`.
        bench: Their benchmark, or its TSV file.
        rules: Protocol, extraction and the like; by default those of a new run.
        judge: The model that grades what rules cannot.
        sources: The places of the benchmark.
        partial: Leave out questions without a prediction.
        interface: Shows the judge's progress, cost and notes.

    Returns:
        The score.
    """
    shows = interface or UserInterface(quiet=True)
    (opened,) = open_benches([str(bench)], sources or Sources(), shows)
    with _judging(judge, shows) as judged_by:
        return score_predictions(
            Path(predictions), opened, rules or Rules("", ""), judged_by, partial=partial
        )


@contextmanager
def _judging(judge: JudgeOptions | None, interface: UserInterface | None) -> Iterator[JudgeOptions | None]:
    """The judge with its progress, cost and notes shown."""
    if judge is None:
        yield None
        return
    shows = interface or UserInterface()
    with shows.bar("Judge") as bar:
        yield replace(judge, on_progress=bar.update, on_usage=shows.judge_usage, on_note=shows.remark)
