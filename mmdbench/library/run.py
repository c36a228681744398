"""A run: the folder of a model's replies, graded when something of it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdbench.check import ALPHA, Accepted, check_run, parse_gate, read_baseline, refusal, replace_baseline
from mmdbench.corruptions.spec_file import described_spec
from mmdbench.errors import MmdbenchError, UnknownNameError
from mmdbench.library.asking import refuse_incomplete
from mmdbench.library.checking import CheckResult, require_unclear
from mmdbench.library.frames import REPLY_COLUMNS, arrow_table, data_frame, reply_rows
from mmdbench.library.judging import refuse_unjudged, shown_by_report
from mmdbench.library.options import listed, local_path
from mmdbench.library.report import EXAMPLES, Report
from mmdbench.library.shown_tables import Origin, ShownTable, TableSet
from mmdbench.library.tracked import log_run
from mmdbench.library.trackers import LogTo
from mmdbench.report.exports import RESULT_FORMATS, ExportedScores, write_results
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.export import FORMATS, NO_ANSWER, Exported, export_run
from mmdbench.results.graded_run import RunResults, load_results
from mmdbench.results.judging.asked import default_judge
from mmdbench.results.rescoring import Regraded
from mmdbench.run.summary import RunSummary
from mmdbench.system.durations import parse_age
from mmdbench.system.files import require_folder

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["EXPORT_FORMATS", "NO_ANSWER", "RESULT_FORMATS", "ExportedScores", "Run", "Session", "load_run"]

EXPORT_FORMATS = (*FORMATS, *RESULT_FORMATS)
"""The formats of replies, and those of scores."""

_PARTS = ("benchmark", "corruption", "corruption-category", "question-category")


@dataclass(frozen=True, slots=True)
class Session:
    """One call of `evaluate`: what was asked, what the judge graded, or the reason why it did not."""

    summary: RunSummary | None = None
    judged: Regraded | None = None
    judge_error: MmdbenchError | None = None


class Run:
    """The replies of a model to clean and degraded questions, with their grades.

    It is read from its folder when something of it is first used. Notebooks show its scores by level.

    Args:
        folder: The run's folder.
        protocol: Grading protocol; by default the run's own.
        extraction: Answer extraction; by default the run's own.
        judge: A judge that was asked about the run, `none` for none; by default the run's own.
        session: What `evaluate` did in this call.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        protocol: str = "",
        extraction: str = "",
        judge: str = "",
        session: Session | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._protocol, self._extraction, self._judge = protocol, extraction, judge
        self.session = session or Session()

    @cached_property
    def results(self) -> RunResults:
        """The graded run, for code that needs more than the tables."""
        return load_results(
            self.folder, protocol=self._protocol, extraction=self._extraction, judged_by=self._judge
        )

    @cached_property
    def report(self) -> Report:
        """The report of this run alone."""
        return Report([self.results], make_tables([self.results], described_spec(self.results.manifest)))

    @property
    def tables(self) -> TableSet:
        """All tables by their keys: `tables["levels"]` are the scores, `tables["drops"]` the drops."""
        return self.report.tables

    @property
    def name(self) -> str:
        """The run's name in tables."""
        return self.results.name

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes that limit the numbers of the run."""
        return self.report.notes

    @property
    def complete(self) -> bool:
        """True if no more answers are missing or failed than the plan allows."""
        return self.results.complete

    @property
    def problem(self) -> str:
        """The reason why no verdict may rest on the scores; empty if there is none."""
        return self.results.problem or str(self.session.judge_error or "")

    def require_complete(self) -> None:
        """Raise IncompleteError if answers are missing or too old, or the judge did not grade them."""
        refuse_incomplete(self.results, self.session.summary)
        if self.session.judge_error:
            raise self.session.judge_error
        if self.session.judged:
            refuse_unjudged([arm.score for arm in self.session.judged.arms])

    @property
    def shown_by_default(self) -> bool:
        """True if the report of the run's folder shows these grades when nothing else is named."""
        if self._protocol or self._extraction:
            return False
        usual = default_judge(self.results.manifest)
        return not self._judge or (usual is not None and usual.name == self._judge)

    def shown_by_report(self) -> list[str]:
        """Lines on how a report shows the grades of this call's judge, if it shows others by default."""
        judged = self.session.judged
        return list(shown_by_report(judged)) if judged else []

    def scores(self) -> ShownTable:
        """The scores of each benchmark at every level, with 95 % intervals, in points."""
        return self.tables["levels"]

    def drops(self, by: str = "benchmark") -> ShownTable:
        """The drops from clean, in points, with 95 % intervals.

        Args:
            by: `benchmark`, `corruption`, `corruption-category` or `question-category`.

        Returns:
            The table.

        Raises:
            UnknownNameError: The run has no such parts.
        """
        if by not in _PARTS:
            raise UnknownNameError("part", by, _PARTS)
        return self.tables["drops" if by == "benchmark" else by]

    def rows(self) -> list[dict[str, Any]]:
        """One dict for each planned request, with the keys of `REPLY_COLUMNS`."""
        return reply_rows(self.results)

    def frame(self) -> pd.DataFrame:
        """One row for each planned request, with the columns and types of `REPLY_COLUMNS`."""
        return data_frame(self.rows(), REPLY_COLUMNS)

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table. Raises MissingExtraError without pyarrow."""
        return arrow_table(self.rows(), REPLY_COLUMNS)

    def page(
        self,
        out: str | Path,
        *,
        examples: int = EXAMPLES,
        data_dir: str | Path | None = None,
        image_root: str | Path | None = None,
    ) -> Path:
        """Write the run as one HTML page with answers and pictures.

        Args:
            out: File to write.
            examples: Most examples with pictures.
            data_dir: Folder of benchmark files.
            image_root: Folder of the pictures that a TSV names, if it is not the TSV's own.

        Returns:
            The file.
        """
        return self.report.page(out, examples=examples, data_dir=data_dir, image_root=image_root).path

    def check(
        self,
        baseline: str | Path,
        gates: str | Sequence[str] = (),
        *,
        alpha: float = ALPHA,
        require_fresh: str | timedelta = "",
        allow_model_change: bool = False,
        unclear: str = "fail",
    ) -> CheckResult:
        """Compare the run with a baseline.

        Args:
            baseline: File of the baseline.
            gates: Rows and the points that they may lose, `"macro-hard:1.0"`; without one the mean over
                benchmarks at the hardest level and clean, each of which may lose what its questions can
                decide.
            alpha: Chance that the check fails although nothing changed, above 0 and below 0.5.
            require_fresh: Greatest age of a reply: `"12h"`, `"7d"`.
            allow_model_change: Compare runs although the server answers as another model.
            unclear: `fail` for exit code 3 where a row gets no verdict, `warn` for 0.

        Returns:
            The verdict of each row, and of all together.

        Raises:
            UsageError: There is no baseline, or a gate names no row.
            IncomparableError: Run and baseline are of different questions or settings.
        """
        wanted, passes = [parse_gate(text) for text in listed(gates)], require_unclear(unclear)
        oldest = parse_age("--require-fresh", require_fresh)
        # A run that gets no verdict says so whether its baseline can be read or not.
        found = refusal(self.results, alpha, oldest)
        if found is None:
            before = read_baseline(Path(baseline), allow_model_change=allow_model_change)
            spec = described_spec(self.results.manifest)
            found = check_run(self.results, before, spec, wanted, alpha, oldest)
        header = self.report.content.header
        return CheckResult(found, Origin(header["protocol"], header["design"], found.run_notes), passes)

    def accept(
        self,
        baseline: str | Path,
        *,
        require_fresh: str | timedelta = "",
        allow_model_change: bool = False,
        force: bool = False,
    ) -> Accepted:
        """Write the run as the baseline of later checks.

        Args:
            baseline: File to write, made to be committed.
            require_fresh: Greatest age of a reply.
            allow_model_change: Accept a run that several models answered.
            force: Replace a better baseline, or a file that is none.

        Returns:
            The number of grades written, and the changes from the baseline before.

        Raises:
            IncompleteError: Answers are missing, too old or not judged.
            UsageError: The file holds a better baseline.
            DataError: The file holds no baseline.
        """
        oldest = parse_age("--require-fresh", require_fresh)
        path = local_path(baseline, "baseline")
        spec = described_spec(self.results.manifest)
        return replace_baseline(
            self.results, path, spec, oldest, allow_model_change=allow_model_change, force=force
        )

    def export(self, out: str | Path, *, form: str = "vlmevalkit", extraction: str = "") -> list[Exported]:
        """Write the replies arm by arm for other tools.

        Args:
            out: The folder to write to.
            form: `vlmevalkit` (spreadsheets of predictions) or `jsonl`.
            extraction: The way to extract answers; by default the run's own.

        Returns:
            The files.
        """
        require_folder(local_path(out))
        return export_run(self.folder, local_path(out), form=form, extraction=extraction)

    def export_scores(
        self, out: str | Path, form: str, *, dataset: str = "", developer: str = ""
    ) -> ExportedScores:
        """Write scores with their samples in a result format of other tools.

        Args:
            out: The folder to write to.
            form: `huggingface`, `lm-eval`, `inspect` or `every-eval-ever`.
            dataset: The published build whose leaderboard the scores are for (`huggingface` alone).
            developer: The developer of the model (`every-eval-ever` alone); by default that of
                `developer/name` in its card.

        Returns:
            The files, and the benchmarks that are left out because they have no score.

        Raises:
            UnknownNameError: There is no such format.
            UsageError: The run has no scores.
        """
        if form not in RESULT_FORMATS:
            raise UnknownNameError("result format", form, RESULT_FORMATS)
        place = local_path(out)
        return write_results(self.results, place, form, self.notes, dataset=dataset, developer=developer)

    def log_to(self, log_to: LogTo, out: str | Path | None = None) -> dict[str, float]:
        """Send scores, drops with their intervals, the plan and the notes to an experiment tracker.

        Args:
            log_to: `wandb`, `mlflow`, `trackio`, `tensorboard`, or a function that gets a dict of numbers
                and a step. An active run of the tracker is used; without one, a run is started and ended.
            out: The folder of TensorBoard's files.

        Returns:
            The numbers by their names.

        Raises:
            UsageError: There is no such tracker, or the run has no scores by level.
            MissingExtraError: The tracker's package is not installed.
        """
        return log_run(self.results, self.notes, log_to, None if out is None else local_path(out))

    def _repr_markdown_(self) -> str:
        return self.scores().markdown()

    def _repr_html_(self) -> str:
        return self.scores()._repr_html_()

    def __repr__(self) -> str:
        return f"<Run {str(self.folder)!r}>"


def load_run(folder: str | Path, *, protocol: str = "", extraction: str = "", judge: str = "") -> Run:
    """A run that `evaluate` or `mmdbench eval` made before.

    Args:
        folder: The run's folder.
        protocol: Grading protocol; by default the run's own.
        extraction: Answer extraction; by default the run's own.
        judge: A judge that was asked about the run, `none` for none; by default the run's own.

    Returns:
        The run.

    Raises:
        StoreError: The folder holds no run.
    """
    run = Run(folder, protocol=protocol, extraction=extraction, judge=judge)
    _ = run.results
    return run
