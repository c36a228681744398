"""`mmdbench calibrate`: measure the strength of corruptions on your own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_json, print_rendering, say
from mmdbench.cli._shared.urls import LOCAL
from mmdbench.errors import UsageError
from mmdbench.system.files import require_writable
from mmdbench.system.printable import json_text

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
        list[str] | None,
        typer.Option(
            "--size", help="Short sides in pixels, with commas or repeated; by default 224, 512 and 1024."
        ),
    ] = None,
    corruption: opts.Corruptions = None,
    corruption_set: opts.CorruptionSet = opts.DEFAULT_SET,
    profile: opts.Profile = "paper",
    seed: opts.Seed = 0,
    enlarge: Annotated[bool, typer.Option("--enlarge", help="Enlarge pictures that are too small.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", parser=LOCAL, help="File to write too: .json (numbers) or .md (a page)."),
    ] = None,
    markdown: opts.Markdown = False,
    as_json: opts.Json = False,
) -> None:
    """Measure the corruptions on your own pictures.

    SSIM and PSNR for each corruption, level and size. Levels that are out of order are flagged, and
    sizes that no picture has are left out.
    """
    from mmdbench.corruptions.calibration import SIZES, CalibrationSettings, to_json, to_markdown
    from mmdbench.corruptions.calibration import calibrate as measure
    from mmdbench.system.files import write_atomic

    if markdown and as_json:
        raise UsageError("Only one of --markdown and --json may be given.")
    _check_files(images, out)
    chosen = opts.whole_numbers("--size", sizes) or SIZES
    settings = CalibrationSettings(chosen, opts.members(corruption, corruption_set), profile, seed, enlarge)
    pictures = _read_pictures(images)
    found = measure(pictures, settings, lambda step: say(f"measuring {step}", err=True))
    if as_json:
        print_json(to_json(found))
    elif markdown:
        print_rendering(to_markdown(found))
    else:
        _print(found)
    if found.left_out:
        sizes_left = ", ".join(map(str, found.left_out))
        say(f"Not measured: {sizes_left} px, as no picture has such a short side; see --enlarge.", err=True)
    if out is not None:
        write_atomic(
            out, to_markdown(found) if out.suffix == ".md" else json_text(to_json(found), indent=1) + "\n"
        )


def _check_files(images: list[Path], out: Path | None) -> None:
    for path in images:
        if path.suffix in (".json", ".md"):
            raise UsageError(
                f"{path} is no picture, and --json and --markdown take no file.", hint=f"Write -o {path}."
            )
    if out is None:
        return
    if out.suffix not in (".json", ".md"):
        raise UsageError(f"-o must end in .json or .md, got {out}.")
    require_writable(out)


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
