"""`mmdbench compare`: what differs between runs, and by how much they differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared.urls import RUN
from mmdbench.errors import UsageError

if TYPE_CHECKING:
    from mmdbench.report.comparison import Comparison

__all__ = ["compare"]


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            parser=RUN, help="A run's folder, then others or published results such as paper:clear-rl."
        ),
    ],
    shared: Annotated[
        bool, typer.Option("--shared", help="Runs of different samples: compare the questions both hold.")
    ] = False,
    protocol: Annotated[str, typer.Option(help="Grade all by this protocol.")] = "",
    extraction: Annotated[str, typer.Option(help="Read all answers in this way.")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, unrounded.")] = False,
) -> None:
    """Compare a run with others: what differs first, then paired differences with intervals and tests.

    The first run is compared with each of the others; differences are first − other, in points.
    """
    if len(runs) < 2:
        raise UsageError("Nothing to compare with.", hint="Name two runs, or a run and paper:clear-rl.")
    found = _compare(runs, (protocol, extraction), shared=shared)
    if as_json:
        import json

        typer.echo(json.dumps([c.as_dict() for c in found], indent=1, ensure_ascii=False))
        return
    for comparison in found:
        _print(comparison, markdown=markdown)


def _compare(names: list[str], rules: tuple[str, str], *, shared: bool) -> list[Comparison]:
    from dataclasses import replace

    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.report.comparison import compare_published, compare_runs
    from mmdbench.report.published import is_published, published_rows
    from mmdbench.results.results import load_results

    if is_published(names[0]):
        raise UsageError("The first to compare must be a run.", hint=f"Name {names[0]} after it.")
    first = load_results(Path(names[0]), protocol=rules[0], extraction=rules[1])
    found = []
    for name in names[1:]:
        if is_published(name):
            titles = [first.title(bench) for bench in first.benches]
            published = published_rows(name, titles)
            found.append(compare_published(first, published if published.main else published_rows(name)))
            continue
        other, ours = load_results(Path(name), protocol=rules[0], extraction=rules[1]), first
        if other.name == first.name:
            other, ours = replace(other, label=name), replace(first, label=names[0])
        found.append(compare_runs(ours, other, load_spec(), shared=shared))
    return found


def _print(comparison: Comparison, *, markdown: bool) -> None:
    lines = [f"differs in {difference}" for difference in comparison.differences]
    lines = (lines or ["nothing that is recorded differs"]) + list(comparison.notes)
    title = f"{comparison.first} − {comparison.second}"
    if markdown:
        from mmdbench.report.render.markdown import markdown_table

        head = "\n".join(f"- {line}" for line in lines)
        typer.echo("\n\n".join([f"# {title}", head, *map(markdown_table, comparison.tables)]) + "\n")
        return
    from rich.console import Console
    from rich.text import Text

    from mmdbench.report.render.console import grid

    screen = Console()
    screen.print(Text(title, style="bold"))
    for line in lines:
        screen.print(Text(f"  {line}", style="dim"))
    for table in comparison.tables:
        screen.print()
        screen.print(grid(table))
