"""`mmdbench gallery`: a contact sheet of a picture under every corruption."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.urls import LOCAL

__all__ = ["gallery"]


def gallery(
    image: Annotated[Path, typer.Argument(parser=LOCAL, help="A picture.")],
    out: opts.SheetOut,
    corruption: opts.Corruptions = None,
    corruption_set: opts.CorruptionSet = opts.DEFAULT_SET,
    width: opts.Width = 240,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
) -> None:
    """Draw a sheet of a picture under all corruptions: clean, low, mid and hard."""
    from mmdbench.corruptions.gallery import corruption_sheet
    from mmdbench.system.contact_sheet import save_sheet
    from mmdbench.system.files import require_writable

    require_writable(out)
    sheet = corruption_sheet(
        image, names=opts.members(corruption, corruption_set), width=width, seed=seed, profile=profile
    )
    save_sheet(sheet, out)
    say(f"Sheet of {sheet.width} × {sheet.height} px written to {out}")
