"""`mmdbench compare`: differences between runs, in settings and in scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_json, print_rendering

if TYPE_CHECKING:
    from mmdbench.report.comparison import Comparison

__all__ = ["compare"]


def compare(
    runs: opts.RunsOrPublished,
    shared: Annotated[
        bool, typer.Option("--shared", help="Compare runs of different samples on the questions both hold.")
    ] = False,
    protocol: opts.Protocol = "",
    extraction: opts.Extraction = "",
    judge: opts.Judge = "",
    markdown: opts.Markdown = False,
    as_json: opts.Json = False,
) -> None:
    """Compare a run with others: settings, then paired differences with intervals and tests.

    Each of the others is compared with the first run. Differences are new − old, in points: the first run
    is the old one, except that published results are older than any run.
    """
    from mmdbench.report.load import open_comparisons

    found = open_comparisons(runs, protocol, extraction, judge, shared=shared)
    if as_json:
        from mmdbench.report.tables.table import as_record

        print_json([as_record(comparison) for comparison in found])
        return
    for comparison in found:
        _print(comparison, markdown=markdown)


def _print(comparison: Comparison, *, markdown: bool) -> None:
    lines = [f"differs in {difference}" for difference in comparison.differences]
    lines = (lines or ["no difference in recorded settings"]) + list(comparison.notes)
    title = f"{comparison.new} − {comparison.old} (new − old)"
    if markdown:
        from mmdbench.report.render.markdown import markdown_table, markdown_text

        head = "\n".join(f"- {markdown_text(line)}" for line in lines)
        tables = map(markdown_table, comparison.tables)
        print_rendering("\n\n".join([f"# {markdown_text(title)}", head, *tables]) + "\n\n")
        return

    from mmdbench.library.screen import Screen, styled
    from mmdbench.report.render.console import grid

    screen = Screen()
    screen.print(styled(title, style="bold"))
    for line in lines:
        screen.print(styled(f"  {line}", style="dim"))
    for table in comparison.tables:
        screen.print()
        screen.print(grid(table))
