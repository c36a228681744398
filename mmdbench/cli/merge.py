"""`mmdbench merge`: merge the shards of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.completion import complete_runs
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.urls import FOLDER

__all__ = ["merge"]


def merge(
    runs: Annotated[
        list[Path], typer.Argument(parser=FOLDER, help="Folders of the shards.", autocompletion=complete_runs)
    ],
    out: opts.RunOut,
    prefer: Annotated[
        str, typer.Option(help="Answer that counts if two shards differ: first (shard named) or newest.")
    ] = "",
) -> None:
    """Merge the shards of a run, made on several machines.

    Of several replies to one request, an answer is kept before an error. Different answers to one
    request are an error without --prefer.

    Run the command again to resume.
    """
    from mmdbench.library.merging import merge as merge_shards

    done = merge_shards(runs, out, prefer=prefer)
    failed = f", {done.failed} of them failed" if done.failed else ""
    say(f"{done.runs} runs, {done.replies} of {done.planned} planned replies{failed}: {out}")
    if done.different:
        say(f"mmdbench: {done.different} requests had different answers; the {prefer} one counts.", err=True)
    if done.alarm:
        say(f"mmdbench: {done.alarm}.", err=True)
    say(f"mmdbench report {out}")
