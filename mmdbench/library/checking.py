"""The verdict of a run against its baseline, for notebooks, tests and continuous integration."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from mmdbench.check import CheckReport, CheckRow, let_pass
from mmdbench.check.output import (
    check_table,
    comment,
    detectable_losses,
    failure_comment,
    failure_junit,
    github_lines,
    junit_xml,
    markdown_summary,
    row_text,
)
from mmdbench.errors import UnknownNameError
from mmdbench.library.screen import styled
from mmdbench.library.shown_tables import Origin, ShownTable
from mmdbench.results.freshness import freshness_line

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "UNCLEAR",
    "CheckResult",
    "CheckRow",
    "Outcome",
    "Unclear",
    "failure_comment",
    "failure_junit",
    "require_unclear",
]

Outcome = Literal["no regression", "regression", "cannot tell", "incomplete"]
Unclear = Literal["fail", "warn"]
UNCLEAR: tuple[Unclear, ...] = ("fail", "warn")
"""The ends of a check that cannot tell: it fails with exit code 3, or warns and passes."""


def require_unclear(unclear: str) -> Unclear:
    """The value of `unclear`. Raises UnknownNameError for any but `fail` and `warn`."""
    for known in UNCLEAR:
        if unclear == known:
            return known
    raise UnknownNameError("value of --unclear", unclear, UNCLEAR)


class CheckResult:
    """The comparison of a run with its baseline.

    `outcome` is `no regression`, `regression`, `cannot tell` or `incomplete`, and `exit_code` that of the
    command: 0, 1, 3 or 4. `rows` are the watched rows with their losses and verdicts.

    Args:
        report: The report of the check.
        origin: The origin of its table.
        unclear: `warn` if rows without a verdict pass, with exit code 0.
    """

    def __init__(self, report: CheckReport, origin: Origin, unclear: Unclear = "fail") -> None:
        self._report = let_pass(report) if unclear == "warn" else report
        self._origin, self._verdicts = origin, {row.verdict for row in report.rows}

    @property
    def outcome(self) -> Outcome:
        """The verdict of all rows together."""
        if self.problem:
            return "incomplete"
        if "regressed" in self._verdicts:
            return "regression"
        return "cannot tell" if "cannot tell" in self._verdicts else "no regression"

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

    def comment(self) -> str:
        """Markdown for a comment on a pull request: twelve rows at most, in less than 65,536 characters."""
        return comment(self._report)

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
