"""`mmdbench gallery`: one sheet that shows what every corruption does to a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["gallery"]


def gallery(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The sheet: a .png or .jpg file.")],
    names: Annotated[list[str] | None, typer.Option("--name", help="Only these corruptions.")] = None,
    width: Annotated[int, typer.Option(help="Width of one picture on the sheet, in pixels.")] = 240,
    seed: Annotated[int, typer.Option(help="Another seed draws other layouts.")] = 0,
    profile: Annotated[str, typer.Option(help="paper or scaled")] = "paper",
) -> None:
    """Show a picture under all corruptions: clean, low, mid and hard side by side."""
    from mmdbench.corruptions.gallery import contact_sheet, save_sheet

    sheet = contact_sheet(image, names=names or (), width=width, seed=seed, profile=profile)
    save_sheet(sheet, out)
    typer.echo(f"Sheet of {sheet.width} × {sheet.height} px written to {out}")
