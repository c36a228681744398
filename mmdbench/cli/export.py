"""`mmdbench export`: write a run's replies to files that other tools grade."""

from __future__ import annotations

from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say

__all__ = ["export"]


def export(
    run: opts.RunFolder,
    out: opts.FilesOut,
    format: Annotated[  # noqa: A002 - the option's name
        str, typer.Option("--format", help="Format: vlmevalkit (a spreadsheet for each arm) or jsonl.")
    ] = "vlmevalkit",
    extraction: opts.Extraction = "",
) -> None:
    """Write a run's replies as prediction files, for VLMEvalKit or as JSON lines."""
    from mmdbench.library import Run
    from mmdbench.library.run import NO_ANSWER

    made = Run(run).export(out, form=format, extraction=extraction)
    for file in made:
        say(f"  {file.path}  {file.dataset}, {file.rows} rows")
    if format != "vlmevalkit":
        return
    without = sum(file.without_answer for file in made)
    if without:
        say(f"{without} rows have no reply; they read {NO_ANSWER!r}, which is a miss there as here.")
    rewritten = sum(file.rewritten for file in made)
    if rewritten:
        say(
            f"{rewritten} replies hold formulas, links or control characters. They are written as they are; "
            "in a spreadsheet of its own VLMEvalKit would have changed them."
        )
    if made:
        say(f"Grade one with: vlmutil eval {made[0].dataset} {made[0].path}")
