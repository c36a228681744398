"""`mmdbench show`: one question, its pictures at every level, and replies to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.urls import FOLDER
from mmdbench.errors import DataError, UnknownNameError, UsageError

__all__ = ["show"]


def show(
    question: Annotated[str, typer.Argument(help="A benchmark and an index, for example MMStar:17.")],
    corruption: opts.Corruptions = None,
    run: Annotated[
        list[Path] | None, typer.Option(parser=FOLDER, help="Show the replies of this run; repeatable.")
    ] = None,
    out: opts.SheetOutOrNone = None,
    width: opts.Width = 240,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    offline: opts.Offline = False,
    judge: opts.Judge = "",
) -> None:
    """Show one question: a sheet of its pictures at all levels, its text, and replies.

    With --run, seed and profile are those of the first run.
    """
    from mmdbench.cli._shared.terminal import Terminal
    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.library.sources import Sources, open_benches
    from mmdbench.records import RunPlan
    from mmdbench.report.question_sheet import find_question, question_lines, question_sheet, reply_lines
    from mmdbench.results.graded_run import load_results
    from mmdbench.system.contact_sheet import save_sheet
    from mmdbench.system.inner_paths import plain_name

    name, colon, index = question.rpartition(":")
    if not colon or not name:
        raise UsageError(f"QUESTION must be BENCHMARK:INDEX, got {question!r}.", hint="Write MMStar:17.")
    spec = load_spec()
    for wanted in corruption or ():
        if wanted not in spec.corruptions:
            raise UnknownNameError("corruption", wanted, spec.corruptions, see="mmdbench list corruptions")
    runs = [load_results(folder, judged_by=judge) for folder in run or ()]
    sources = Sources(data_dir, offline, answers="any", image_root=image_root)
    (bench,) = open_benches([name], sources, Terminal(quiet=True))
    asked = find_question(bench, index)
    plan = runs[0].plan if runs else RunPlan("", (bench.name,), seed=seed, profile=profile)
    met = [c.corruption for r in runs for c in r.cells if (c.bench, c.index) == (asked.bench, asked.index)]
    names = corruption or list(dict.fromkeys(n for n in met if n)) or list(spec.corruptions)
    for line in question_lines(asked):
        say(line)
    for one in runs:
        for line in reply_lines(one, asked, corruption or ()):
            say(line)
    path = out or Path(plain_name(Path(), f"{bench.name}_{asked.index}.png", bench.path, DataError))
    sheet = question_sheet(asked, names, plan, spec, width)
    save_sheet(sheet, path)
    say(f"Sheet of {sheet.width} × {sheet.height} px written to {path}")
