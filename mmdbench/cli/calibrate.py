"""`mmdbench calibrate`: measure the strength of corruptions on your own pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.urls import LOCAL
from mmdbench.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmdbench.corruptions.calibration import Calibration

__all__ = ["calibrate"]


def calibrate(
    images: Annotated[
        list[Path],
        typer.Argument(parser=LOCAL, help="Pictures, or folders of pictures.", metavar="IMAGES..."),
    ],
    sizes: Annotated[
        list[int] | None,
        typer.Option("--size", help="Short side in pixels (default: 224, 512 and 1024); repeatable."),
    ] = None,
    names: opts.CorruptionNames = None,
    profile: opts.Profile = "paper",
    seed: opts.Seed = 0,
    enlarge: Annotated[bool, typer.Option("--enlarge", help="Enlarge pictures that are too small.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", parser=LOCAL, help="Write the numbers to this JSON file too.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", parser=LOCAL, help="Write a page to this Markdown file too.")
    ] = None,
) -> None:
    """Measure the corruptions on your own pictures.

    SSIM and PSNR for each corruption, level and size. Levels that are out of order are flagged.
    """
    from mmdbench.corruptions.calibration import SIZES, CalibrationSettings, to_json, to_markdown
    from mmdbench.corruptions.calibration import calibrate as measure
    from mmdbench.system.files import write_atomic

    settings = CalibrationSettings(sizes or SIZES, names or (), profile, seed, enlarge)
    pictures = _read_pictures(images)
    found = measure(pictures, settings, lambda step: say(f"measuring {step}", err=True))
    _print(found)
    if json_file is not None:
        write_atomic(json_file, json.dumps(to_json(found), indent=1, ensure_ascii=False) + "\n")
    if markdown is not None:
        write_atomic(markdown, to_markdown(found))


def _read_pictures(sources: list[Path]) -> dict[str, NDArray[np.uint8]]:
    from mmdbench.system.images import PICTURE_SUFFIXES, decode_image, picture_files

    files = {str(path): path for source in sources for path in picture_files(source)}
    if not files:
        raise UsageError(f"{', '.join(map(str, sources))}: no pictures ({', '.join(PICTURE_SUFFIXES)}).")
    return {name: decode_image(path.read_bytes(), name) for name, path in files.items()}


def _print(found: Calibration) -> None:
    from rich.table import Table

    from mmdbench.library.screen import Screen
    from mmdbench.records import LEVELS

    console = Screen()
    cells = {(e.corruption, e.size, e.level): e for e in found.effects}
    for size in dict.fromkeys(effect.size for effect in found.effects):
        count = next(effect.images for effect in found.effects if effect.size == size)
        grown = f", {found.enlarged[size]} enlarged" if found.enlarged[size] else ""
        table = Table(title=f"short side {size} px, {count} picture{'s' * (count != 1)}{grown}")
        table.add_column("corruption", no_wrap=True)
        for measure in ("SSIM", "PSNR dB"):
            for level in LEVELS:
                table.add_column(f"{measure}\n{level}", justify="right", no_wrap=True)
        for name in dict.fromkeys(effect.corruption for effect in found.effects):
            ladder = [cells[name, size, level] for level in LEVELS]
            noise = ["–" if e.psnr_db is None else f"{e.psnr_db:.1f}" for e in ladder]
            table.add_row(name, *(f"{e.ssim:.3f}" for e in ladder), *noise)
        console.print(table)
    for flag in found.flags:
        console.print(
            f"{flag.kind}: {flag.corruption}, {flag.size} px: {flag.what}", markup=False, highlight=False
        )
