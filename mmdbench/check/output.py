"""Renderings of a check: table, Markdown, JUnit XML and GitHub annotations."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree as ET

from mmdbench.check.verdicts import CheckReport, CheckRow
from mmdbench.report.render.markdown import markdown_table, markdown_text
from mmdbench.report.tables.table import Column, Row, Table, Value
from mmdbench.results.freshness import freshness_line
from mmdbench.stats.rounding import fixed
from mmdbench.system.printable import one_line

__all__ = [
    "check_table",
    "comment",
    "detectable_losses",
    "failure_comment",
    "failure_junit",
    "github_lines",
    "junit_xml",
    "markdown_summary",
    "row_text",
]

_MOST_ROWS = 6
_MARK = {"regressed": "✗", "cannot tell": "?", "tolerated": "~", "improved": "↑", "unchanged": "✓"}
"""The mark of each verdict, in the order in which a short table shows the rows."""
_COMMENT_ROWS = 12
_COMMENT_CHARACTERS = 60_000
"""GitHub takes 65,536 characters in a comment."""


def check_table(report: CheckReport) -> Table:
    """The rows of a check as a table."""
    rate = fixed(100 * (1 - 2 * report.alpha), 0)
    columns = (
        Column("n", "count", 0),
        Column("baseline"),
        Column("run"),
        Column("loss", signed=True),
        Column("may lose"),
        Column("p", "p", 4),
        Column("verdict", "text"),
    )
    rows = tuple(
        Row(
            (row.name,),
            (
                Value(row.questions),
                Value(row.baseline),
                Value(row.score),
                Value(row.loss, row.low, row.high, row.questions),
                Value(row.tolerance),
                Value(row.p_adjusted),
                Value(f"{_MARK[row.verdict]} {row.verdict}"),
            ),
        )
        for row in report.rows
    )
    caption = (
        f"Loss = baseline − run in points, paired by question, {rate} % interval; p one-sided, by Holm. "
        f"Without any change a check fails at most {fixed(100 * report.alpha, 0)} times in 100."
    )
    return Table("check", "Check against the baseline", ("Row",), columns, rows, caption)


def row_text(row: CheckRow) -> str:
    """One row as a sentence."""
    told = (
        f"{row.name}: {row.verdict}; {fixed(row.baseline)} → {fixed(row.score)}, loss {fixed(row.loss)} "
        f"[{fixed(row.low)}, {fixed(row.high)}], may lose {fixed(row.tolerance)} (n = {row.questions})"
    )
    return f"{told}; about {row.needed} questions would decide" if row.needed else told


def detectable_losses(report: CheckReport) -> list[str]:
    """Lines about rows without a verdict: the loss that their questions would show, six rows at most."""
    untold = (row for row in report.rows if row.verdict == "cannot tell")
    rows = sorted(untold, key=lambda row: math.inf if row.detectable is None else row.detectable)
    lines = [_detectable(row) for row in rows[:_MOST_ROWS]]
    lines += [f"and {len(rows) - _MOST_ROWS} rows that show less"] if len(rows) > _MOST_ROWS else []
    head = "For a verdict, ask more questions or allow more. In 80 of 100 runs these would show a loss of:"
    return [head, *lines] if rows else []


def _detectable(row: CheckRow) -> str:
    asked = f"{row.name}, {row.questions} questions: "
    if row.detectable is None:
        return f"{asked}no loss at all"
    needed = f"; about {row.needed} questions would decide" if row.needed else ""
    return f"{asked}{fixed(row.detectable)} points{needed}"


def markdown_summary(report: CheckReport) -> str:
    """The report as Markdown for a GitHub step summary; ends with a newline."""
    return _markdown(report, report)


def comment(report: CheckReport) -> str:
    """The report as Markdown for a comment on a pull request.

    Its table has twelve rows at most, those that need attention first, and all of it 60,000 characters.
    """
    ordered = sorted(report.rows, key=lambda row: list(_MARK).index(row.verdict))
    return _cut(_markdown(report, replace(report, rows=tuple(ordered[:_COMMENT_ROWS]))))


def failure_comment(why: str) -> str:
    """The Markdown of a check that ended with an error."""
    return _cut(f"# mmdbench check\n\n**ERROR**: {markdown_text(why)}\n")


def _cut(text: str) -> str:
    if len(text) <= _COMMENT_CHARACTERS:
        return text
    kept = text[:_COMMENT_CHARACTERS].rpartition("\n")[0] or text[:_COMMENT_CHARACTERS]
    return f"{kept}\n\nThe rest is too long for a comment.\n"


def _markdown(report: CheckReport, shown: CheckReport) -> str:
    counts = {v: sum(row.verdict == v for row in report.rows) for v in _MARK}
    lines = [f"# mmdbench check: {markdown_text(report.model)}", ""]
    if report.problem:
        lines += [f"**INCOMPLETE**: {markdown_text(report.problem)}", ""]
    else:
        lines += [
            ", ".join(f"{n} {v}" for v, n in counts.items() if n),
            "",
            markdown_table(check_table(shown)),
        ]
        left = Counter(row.verdict for row in report.rows) - Counter(row.verdict for row in shown.rows)
        lines += ["", f"Not shown: {', '.join(f'{n} {v}' for v, n in left.items())}.", ""] if left else []
    for place, line in enumerate(detectable_losses(report)):
        lines.append(f"- {markdown_text(line)}" if place else f"{line}\n")
    rest = [freshness_line(report.freshness)] if report.freshness else []
    rest += [f"differs from the baseline in {note}" for note in report.notes]
    lines += [f"- {markdown_text(line)}" for line in (*rest, *report.run_notes)]
    return "\n".join(lines) + "\n"


def github_lines(report: CheckReport) -> list[str]:
    """GitHub workflow commands: an error for each regression, a warning for each row without a verdict."""
    lines = []
    if report.problem:
        lines.append(f"::error title=mmdbench: run incomplete::{_command(report.problem)}")
    lines += [f"::notice title=mmdbench: {_property(report.model)}::{_command(n)}" for n in report.run_notes]
    for row in report.rows:
        kind = {"regressed": "error", "cannot tell": "warning"}.get(row.verdict)
        if kind:
            lines.append(f"::{kind} title={_property(f'mmdbench: {row.name}')}::{_command(row_text(row))}")
    return lines


def junit_xml(report: CheckReport) -> str:
    """The report as JUnit XML: a failure for each regression, a skip for each row without a verdict."""
    failed = sum(row.verdict == "regressed" for row in report.rows)
    skipped = sum(row.verdict == "cannot tell" for row in report.rows)
    suite = ET.Element(
        "testsuite",
        name="mmdbench check",
        tests=str(len(report.rows) or 1),
        failures=str(failed),
        errors=str(int(bool(report.problem))),
        skipped=str(skipped),
    )
    if report.run_notes:
        ET.SubElement(suite, "system-out").text = "\n".join(map(one_line, report.run_notes))
    model = one_line(report.model)
    if report.problem:
        case = ET.SubElement(suite, "testcase", classname=model, name="complete")
        ET.SubElement(case, "error", message=one_line(report.problem))
    for row in report.rows:
        case = ET.SubElement(suite, "testcase", classname=model, name=one_line(row.name))
        kind = {"regressed": "failure", "cannot tell": "skipped"}.get(row.verdict)
        said = one_line(row_text(row))
        if kind:
            ET.SubElement(case, kind, message=said)
        ET.SubElement(case, "system-out").text = said
    return _xml(suite)


def failure_junit(why: str, kind: str) -> str:
    """JUnit XML of a check that ended with an error.

    Args:
        why: The message of the error.
        kind: The kind of error, such as `exit code 2`.

    Returns:
        A test suite with one case, which has an error.
    """
    suite = ET.Element("testsuite", name="mmdbench check", tests="1", failures="0", errors="1", skipped="0")
    case = ET.SubElement(suite, "testcase", classname="mmdbench", name="check")
    ET.SubElement(case, "error", message=one_line(why), type=one_line(kind))
    return _xml(suite)


def _xml(suite: ET.Element) -> str:
    ET.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def _command(text: str) -> str:
    return one_line(text).replace("%", "%25")


def _property(text: str) -> str:
    return _command(text).replace(":", "%3A").replace(",", "%2C")
