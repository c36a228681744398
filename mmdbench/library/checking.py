"""The verdict of a run against its baseline, for notebooks, tests and continuous integration."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from mmdbench.check import CheckReport, CheckRow
from mmdbench.check.output import (
    check_table,
    detectable_losses,
    github_lines,
    junit_xml,
    markdown_summary,
    row_text,
)
from mmdbench.library.screen import styled
from mmdbench.library.shown_tables import Origin, ShownTable
from mmdbench.results.freshness import freshness_line

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["CheckResult", "CheckRow", "Outcome"]

Outcome = Literal["no regression", "regression", "cannot tell", "incomplete"]
_OUTCOMES: dict[int, Outcome] = {0: "no regression", 1: "regression", 3: "cannot tell", 4: "incomplete"}


class CheckResult:
    """The comparison of a run with its baseline.

    `outcome` is `no regression`, `regression`, `cannot tell` or `incomplete`, and `exit_code` that of the
    command: 0, 1, 3 or 4. `rows` are the watched rows with their losses and verdicts.
    """

    def __init__(self, report: CheckReport, origin: Origin) -> None:
        self._report, self._origin = report, origin

    @property
    def outcome(self) -> Outcome:
        """The verdict of all rows together."""
        return _OUTCOMES[self._report.exit_code]

    @property
    def exit_code(self) -> int:
        """The exit code of `mmdbench check`."""
        return self._report.exit_code

    @property
    def rows(self) -> tuple[CheckRow, ...]:
        """The watched rows."""
        return self._report.rows

    @property
    def problem(self) -> str:
        """The reason why nothing was compared; empty if something was."""
        return self._report.problem

    @property
    def table(self) -> ShownTable:
        """The rows as a table."""
        return ShownTable(check_table(self._report), self._origin)

    def lines(self) -> list[str]:
        """The outcome, and each row as a sentence."""
        rows = [row_text(row) for row in self.rows]
        return [self.outcome, *([self.problem] if self.problem else rows)]

    def undecided(self) -> list[str]:
        """Lines on the rows without a verdict: the loss that their questions show, and how many it takes."""
        return detectable_losses(self._report)

    def junit(self) -> str:
        """JUnit XML with a test case for each row."""
        return junit_xml(self._report)

    def markdown(self) -> str:
        """The summary that GitHub shows for a step."""
        return markdown_summary(self._report)

    def annotations(self) -> list[str]:
        """Commands that let GitHub annotate a run."""
        return github_lines(self._report)

    def as_dict(self) -> dict[str, Any]:
        """The result as a JSON-able dict, unrounded."""
        return asdict(self._report)

    def __rich__(self) -> RenderableType:
        from rich.console import Group

        report = self._report
        parts: list[RenderableType] = [
            *(styled(f"differs from the baseline in {note}", "dim") for note in report.notes),
            *(styled(note, "bold red" if report.problem else "dim") for note in report.run_notes),
        ]
        if report.freshness:
            parts.append(styled(freshness_line(report.freshness), "dim"))
        if report.problem:
            parts.append(styled(f"INCOMPLETE: {report.problem}", "bold red"))
        else:
            parts.append(self.table)
            lines = self.undecided()
            parts += [styled(f"  {line}" if place else line) for place, line in enumerate(lines)]
        return Group(*parts, styled(f"{self.outcome} (exit code {self.exit_code})", "bold"))

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def __repr__(self) -> str:
        return "\n".join(self.lines())
