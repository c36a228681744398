"""`mmdbench report`: print a run's tables again, from its replies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, unrounded.")] = False,
) -> None:
    """Print the tables of a run; the model is not asked again."""
    if not (markdown or as_json):
        from mmdbench.cli.evaluate import print_report

        print_report(run)
        return
    import json

    from mmdbench.report.markdown import markdown as as_markdown
    from mmdbench.report.results import load_results
    from mmdbench.report.tables import make_tables
    from mmdbench.spec import load_spec

    tables = make_tables(load_results(run), load_spec())
    text = (
        as_markdown(tables) if markdown else json.dumps(tables.as_dict(), indent=1, ensure_ascii=False) + "\n"
    )
    typer.echo(text, nl=False)
