"""The HTML page of runs, written for a verb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdbench.cli._shared.output import say
from mmdbench.library.progress import Bar

if TYPE_CHECKING:
    from mmdbench.report.tables.collect import Tables
    from mmdbench.results.graded_run import RunResults

__all__ = ["EXAMPLES", "save_page"]

EXAMPLES = 2000
"""Most examples with pictures on a page, unless a number is given."""


def save_page(
    results: list[RunResults],
    tables: Tables,
    out: Path,
    *,
    data_dir: Path | None = None,
    examples: int = EXAMPLES,
    quiet: bool = False,
) -> None:
    """Write the page of graded runs with a progress bar, and print what it holds.

    Args:
        results: The graded runs.
        tables: The tables of these runs.
        out: HTML file to write.
        data_dir: Folder of benchmark files.
        examples: Most examples with pictures.
        quiet: Print no progress.
    """
    from mmdbench.report.page import write_page

    with Bar("Pictures", quiet=quiet, unit="questions") as bar:
        made = write_page(results, tables, out, data_dir=data_dir, examples=examples, on_progress=bar.update)
    for note in made.notes:
        say(note)
    size = f"{made.size / 1e6:.1f} MB"
    say(f"  {made.path} ({size}, {made.examples} examples, {made.pictures} pictures)")
