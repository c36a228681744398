"""`compare`: the differences between two runs, in settings and in scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdbench.library.options import listed
from mmdbench.library.report import run_by_rules
from mmdbench.library.run import Run
from mmdbench.library.screen import styled
from mmdbench.library.shown_tables import Origin, TableSet
from mmdbench.records import CLEAN
from mmdbench.report.comparison import Comparison
from mmdbench.report.load import open_comparisons
from mmdbench.report.render.console import grid
from mmdbench.report.render.markdown import markdown_table, markdown_text
from mmdbench.report.scores import worst_level
from mmdbench.report.tables.table import Table, as_record, chosen

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["RunComparison", "compare", "compare_all"]

AnyRun = Run | str | Path


class RunComparison:
    """The differences of two runs: in settings, and tables of new − old in points."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    @property
    def title(self) -> str:
        """The names of the new run and of the old one."""
        return f"{self._comparison.new} − {self._comparison.old} (new − old)"

    @property
    def differences(self) -> tuple[str, ...]:
        """The settings that differ, as sentences."""
        found = tuple(f"differs in {difference}" for difference in self._comparison.differences)
        return found or ("no difference in recorded settings",)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes that limit the numbers."""
        return self._comparison.notes

    @property
    def tables(self) -> TableSet:
        """The tables by their keys."""
        return TableSet(self._comparison.tables, Origin("", "", self.notes))

    def markdown(self) -> str:
        """The comparison as Markdown."""
        head = "\n".join(f"- {markdown_text(line)}" for line in (*self.differences, *self.notes))
        tables = map(markdown_table, self._comparison.tables)
        return "\n\n".join([f"# {markdown_text(self.title)}", head, *tables]) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """The comparison as a JSON-able dict, unrounded."""
        return as_record(self._comparison)

    def renderable(
        self, tables: str | Sequence[str] = (), *, shown_before: Collection[str] = ()
    ) -> RenderableType:
        """The comparison for rich to print.

        Args:
            tables: Keys of the tables, `all` for all; by default the differences by benchmark at clean and at
                the worst level.
            shown_before: Notes that are left out because they are on the screen.

        Returns:
            The renderable.
        """
        from rich.console import Group

        found = chosen(self._comparison.tables, listed(tables)) if tables else [self._summary()]
        parts: list[RenderableType] = [styled(self.title, "bold")]
        notes = [note for note in self.notes if note not in shown_before]
        parts += [styled(f"  {line}", "dim") for line in (*self.differences, *notes)]
        for table in found:
            parts += ["", grid(table)]
        rest = [table.key for table in self._comparison.tables if tables == () or table not in found]
        more = f"More (--table NAME, --table all): {', '.join(rest)}."
        return Group(*parts, *([styled(more, "dim")] if rest else []))

    def _summary(self) -> Table:
        """The main table without the levels between clean and the worst, and without the tests' names."""
        table = self._comparison.tables[0]
        levels = list(dict.fromkeys(row.labels[0] for row in table.rows))
        kept = [place for place, column in enumerate(table.columns) if column.unit != "text"]
        rows = (
            replace(row, values=tuple(row.values[place] for place in kept))
            for row in table.rows
            if row.labels[0] in (CLEAN, worst_level(levels))
        )
        columns = tuple(table.columns[place] for place in kept)
        return replace(table, columns=columns, rows=tuple(rows))

    def __rich__(self) -> RenderableType:
        return self.renderable()

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def __repr__(self) -> str:
        return f"<RunComparison of {self.title}: {', '.join(self.tables)}>"


def compare(
    a: AnyRun, b: AnyRun, *, shared: bool = False, protocol: str = "", extraction: str = "", judge: str = ""
) -> RunComparison:
    """Compare two runs: settings, then paired differences b − a with intervals and tests.

    Args:
        a: The old run: a run or its folder.
        b: The new run, or the name of a published result, which is older than any run.
        shared: Compare runs of different samples on the questions that both hold.
        protocol: Grading protocol of both; by default each run's own.
        extraction: Answer extraction of both; by default each run's own.
        judge: A judge that was asked about both, `none` for none.

    Returns:
        The comparison.

    Raises:
        IncomparableError: The runs differ in what must be equal.
    """
    (found,) = compare_all([a, b], shared=shared, protocol=protocol, extraction=extraction, judge=judge)
    return found


def compare_all(
    runs: Sequence[AnyRun],
    *,
    shared: bool = False,
    protocol: str = "",
    extraction: str = "",
    judge: str = "",
) -> list[RunComparison]:
    """Compare the first run with each of the others.

    Args:
        runs: Runs, their folders and names of published results; the first is a run.
        shared: As for `compare`.
        protocol: As for `compare`.
        extraction: As for `compare`.
        judge: As for `compare`.

    Returns:
        A comparison for each of the others.
    """
    rules = (protocol, extraction, judge)
    named = [run_by_rules(run, *rules) for run in runs]
    return [RunComparison(found) for found in open_comparisons(named, *rules, shared=shared)]
