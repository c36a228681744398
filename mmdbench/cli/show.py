"""`mmdbench show`: one question, its pictures at every level, and replies to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.urls import FOLDER

__all__ = ["show"]


def show(
    question: Annotated[str, typer.Argument(help="A benchmark and an index, for example MMStar:17.")],
    corruption: opts.Corruptions = None,
    corruption_set: opts.CorruptionSet = opts.DEFAULT_SET,
    run: Annotated[
        list[Path] | None, typer.Option(parser=FOLDER, help="Show the replies of this run; repeatable.")
    ] = None,
    out: opts.SheetOutOrNone = None,
    width: opts.Width = 240,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    column: opts.Columns = None,
    offline: opts.Offline = False,
    judge: opts.Judge = "",
) -> None:
    """Show one question: a sheet of its pictures at all levels, its text, and replies.

    With --run, seed and profile are those of the first run.
    """
    from mmdbench.library import load_run
    from mmdbench.library.showing import show as show_question
    from mmdbench.library.sources import Sources, given_columns
    from mmdbench.records import RunPlan
    from mmdbench.system.contact_sheet import save_sheet
    from mmdbench.system.files import require_writable

    if out is not None:
        require_writable(out)
    found = show_question(
        question,
        *(load_run(folder, judge=judge) for folder in run or ()),
        corruptions=opts.members(corruption, corruption_set),
        sources=Sources(
            data_dir, offline, answers="any", image_root=image_root, columns=given_columns(column or ())
        ),
        width=width,
        plan=RunPlan("", (), seed=seed, profile=profile),
    )
    for line in found.lines:
        say(line)
    path, sheet = out or Path(found.file), found.sheet
    save_sheet(sheet, path)
    say(f"Sheet of {sheet.width} × {sheet.height} px written to {path}")
