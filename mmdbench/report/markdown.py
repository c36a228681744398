"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

from mmdbench.report.console import Grid, breakdown_grids, footer, main_grid
from mmdbench.report.tables import Tables

__all__ = ["markdown"]


def markdown(tables: Tables) -> str:
    """The whole report as one Markdown page, ending with a newline."""
    head = "\n".join(f"- {key}: {_escape(value)}" for key, value in tables.header.items())
    grids = [_grid(grid) for grid in (main_grid(tables), *breakdown_grids(tables))]
    foot = "\n".join(f"- {_escape(line)}" for line in footer(tables))
    return "\n\n".join([f"# {_escape(tables.header['model'])}", head, *grids, foot]) + "\n"


def _grid(grid: Grid) -> str:
    lines = [_line(grid.columns), "|" + " :-- |" + " --: |" * (len(grid.columns) - 1)]
    return f"## {grid.title}\n\n" + "\n".join(lines + [_line(row) for row in grid.rows])


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
