"""`mmdbench page`: the report of runs as one HTML file, with answers and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import EXAMPLES, STANDARD_OUTPUT, print_page, say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.cli._shared.urls import LOCAL
from mmdbench.errors import UsageError
from mmdbench.system.files import require_writable

__all__ = ["page"]


def page(
    runs: opts.RunsOrPublished,
    out: Annotated[
        Path, typer.Option("-o", "--out", parser=LOCAL, help="HTML file to write; - for standard output.")
    ] = Path("report.html"),
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    examples: Annotated[int, typer.Option(min=0, help="Most examples with pictures.")] = EXAMPLES,
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    quiet: opts.Quiet = False,
    corruption: opts.CorruptionCode = None,
    judge: opts.Judge = "",
) -> None:
    """Write one HTML page with the tables, answers and pictures of runs; it works offline."""
    from mmdbench.corruptions.plugins import use_corruptions
    from mmdbench.library import load_report

    if show and out == STANDARD_OUTPUT:
        raise UsageError("--open needs a file.", hint="Name it with -o, or leave out --open.")
    if out != STANDARD_OUTPUT:
        require_writable(out)
        if out.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"-o must end in .html, got {out}.", hint=f"Write {out / 'report.html'}.")
    use_corruptions(opts.split_option(corruption))
    found = load_report(*runs, judge=judge)
    screen = Terminal(quiet=quiet)
    print_page(found, out, screen, data_dir=data_dir, image_root=image_root, examples=examples)
    if show:
        import webbrowser

        if not webbrowser.open(out.absolute().as_uri()):
            say(f"No browser could be started. Open {out} in one.", err=True)
