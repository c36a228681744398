"""`mmdbench replay`: make one picture of a build again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.urls import FOLDER, LOCAL
from mmdbench.errors import DataError, UsageError

__all__ = ["replay"]


def replay(
    manifest: Annotated[
        Path, typer.Argument(parser=FOLDER, help="A build's folder, its manifest.json, or one of its logs.")
    ],
    index: Annotated[str, typer.Option(help="Index of the row.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", parser=LOCAL, help="Picture to write: .png, or the build's format.")
    ],
    bench: Annotated[str, typer.Option(help="Benchmark of the row, if the build has several.")] = "",
    level: Annotated[str, typer.Option(help="Level of the picture, if the build has several.")] = "",
    corruption: Annotated[
        str, typer.Option(help="Corruption of the picture, if the build has several.")
    ] = "",
    picture: Annotated[int, typer.Option(help="Number of the picture in the row, from 1.", min=1)] = 1,
    source: opts.SourceFiles = None,
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
) -> None:
    """Make one picture of a build again, from its source and manifest."""
    from mmdbench.builds.replay import ImageQuery, find_picture, read_manifest_of
    from mmdbench.builds.replay import replay as make_again
    from mmdbench.builds.source_benches import find_source_benches
    from mmdbench.system.digest import bytes_digest
    from mmdbench.system.files import write_atomic

    head, logs = read_manifest_of(manifest)
    found = find_picture(logs, ImageQuery(index, bench, level, corruption, picture - 1))
    folder = logs[0][1].parent.parent
    sources = find_source_benches(head, folder, data_dir=data_dir, files=source or (), image_root=image_root)
    name = found.output.bench
    if name not in sources.found:
        raise DataError(
            f"{name}: {sources.missing[name]}",
            hint="Name the file with --source or its folder with --data-dir.",
        )
    variant = make_again(found, sources.found[name])
    write_atomic(out, _as_file(variant.image.data, variant.image.mime, out))
    recipe = variant.recipe
    made = f"{recipe.corruption} at {recipe.intensity}" if recipe.corruption else found.output.level
    is_same = bytes_digest(variant.image.data) == found.record["bytes"]
    same = "" if is_same else " (the same pixels, encoded in other bytes)"
    say(f"{found.name}: {made}, pixels as logged{same} → {out}")


def _as_file(data: bytes, mime: str, out: Path) -> bytes:
    """The encoded picture as it is, if the file's name asks for its format, else as PNG."""
    suffixes = {"image/jpeg": (".jpg", ".jpeg"), "image/png": (".png",), "image/webp": (".webp",)}[mime]
    if out.suffix.lower() in suffixes:
        return data
    if out.suffix.lower() != ".png":
        raise UsageError(
            f"Cannot write {out}: the picture is {mime}.", hint=f"End it with .png or {suffixes[0]}."
        )
    from mmdbench.benches import decode_image
    from mmdbench.variants.codec import encode, parse_codec

    return encode(decode_image(data, "a picture made again"), parse_codec("png")).data
