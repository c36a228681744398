"""`mmdbench compare`: differences between runs, in settings and in scores."""

from __future__ import annotations

from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_json, print_rendering

__all__ = ["compare"]


def compare(
    runs: opts.RunsOrPublished,
    table: opts.Tables = None,
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
    from mmdbench.library.comparing import compare_all
    from mmdbench.library.screen import Screen

    found = compare_all(runs, protocol=protocol, extraction=extraction, judge=judge, shared=shared)
    if as_json:
        print_json([comparison.as_dict() for comparison in found])
        return
    shown: set[str] = set()
    for comparison in found:
        if markdown:
            print_rendering(comparison.markdown() + "\n")
        else:
            Screen().print(comparison.renderable(opts.split_list(*(table or ())), shown_before=shown))
            shown.update(comparison.notes)
