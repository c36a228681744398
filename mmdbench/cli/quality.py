"""`mmdbench quality`: measure the image quality of a run's pictures, or of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_json, say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.cli._shared.urls import LOCAL, OUT
from mmdbench.errors import UsageError
from mmdbench.system.images import MAX_PIXELS

__all__ = ["quality"]

_METRICS = ["brisque", "niqe", "musiq"]


def quality(
    folder: Annotated[Path, typer.Argument(parser=OUT, help="Folder of a run, or of pictures.")],
    metric: Annotated[
        list[str], typer.Option(help="Metrics: brisque, niqe, musiq; with commas or repeated.")
    ] = _METRICS,
    weights_dir: Annotated[
        Path | None,
        typer.Option(parser=LOCAL, help="Folder of the metrics' weights; else $TORCH_HOME/hub/pyiqa."),
    ] = None,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda or cuda:1.")] = "auto",
    batch: Annotated[int, typer.Option(help="Pictures of one size to measure together.")] = 8,
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    max_pixels: opts.MaxPixels = MAX_PIXELS,
    corruption: opts.CorruptionCode = None,
    as_json: opts.Json = False,
    quiet: opts.Quiet = False,
) -> None:
    """Measure the quality of pictures with BRISQUE, NIQE and MUSIQ.

    Figures are written to quality.json beside the pictures.
    """
    from mmdbench.corruptions.plugins import use_corruptions
    from mmdbench.library.quality import QUALITY_FILE, measure_quality

    use_corruptions(opts.split_option(corruption))
    names = opts.split_option(metric)
    if not names:
        raise UsageError("--metric must name a metric.", hint="Name some of brisque, niqe, musiq.")
    record = measure_quality(
        folder,
        names,
        weights_dir=weights_dir,
        device=device,
        batch=batch,
        data_dir=data_dir,
        image_root=image_root,
        max_pixels=max_pixels,
        interface=Terminal(quiet=quiet or as_json),
    )
    if as_json:
        print_json(record)
        return
    _print_means(record)
    say(f"  {folder / QUALITY_FILE}")


def _print_means(record: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    from mmdbench.library.screen import Screen
    from mmdbench.stats.rounding import fixed

    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for image in record["images"]:
        groups.setdefault((image["kind"], image["level"]), []).append(image)
    grid = Table(box=box.SIMPLE_HEAD, title="Mean quality", title_justify="left", title_style="bold")
    for name in ("Pictures", "Level"):
        grid.add_column(name)
    for name in ("n", *record["metrics"]):
        grid.add_column(name, justify="right")
    for (kind, level), images in groups.items():
        cells = [kind, level, str(len(images))]
        for name in record["metrics"]:
            known = [image[name] for image in images if image[name] is not None]
            lost = len(images) - len(known)
            mean = fixed(sum(known) / len(known), 2) if known else "–"
            cells.append(mean + (f" ({lost} not measurable)" if lost else ""))
        grid.add_row(*cells)
    console = Screen()
    console.print(grid)
    for name, how in record["implementations"].items():
        console.print(f"{name}: {how.get('package')} {how.get('version')}, {how.get('weights')}", style="dim")
