"""`measure_quality`: the image quality of a run's pictures, or of a folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdbench.errors import UsageError
from mmdbench.library.report import source_folders
from mmdbench.library.user_interface import UserInterface
from mmdbench.results.quality.measure import measure, write_quality
from mmdbench.results.quality.metrics import LICENCE_NOTICE, open_metrics
from mmdbench.results.quality.pictures import open_pictures
from mmdbench.run.folder import QUALITY_FILE
from mmdbench.system.files import require_writable
from mmdbench.system.images import MAX_PIXELS

__all__ = ["METRICS", "QUALITY_FILE", "measure_quality"]

METRICS = ("brisque", "niqe", "musiq")


def measure_quality(
    folder: str | Path,
    metrics: Sequence[str] = METRICS,
    *,
    weights_dir: str | Path | None = None,
    device: str = "auto",
    batch: int = 8,
    data_dir: str | Path | None = None,
    image_root: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
    interface: UserInterface | None = None,
) -> dict[str, Any]:
    """Measure pictures with BRISQUE, NIQE and MUSIQ, and write the figures to `quality.json` beside them.

    Args:
        folder: Folder of a run, or of pictures.
        metrics: Some of `brisque`, `niqe`, `musiq`.
        weights_dir: Folder of the metrics' weights; by default `$TORCH_HOME/hub/pyiqa`.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        batch: Pictures of one size to measure together.
        data_dir: Folder of benchmark files.
        image_root: Folder of the pictures that a TSV names.
        max_pixels: Largest picture to read, in pixels.
        interface: Shows the progress, the metrics' licence, and pictures that are not measured.

    Returns:
        The figures of every picture, with the packages and weights that gave them.

    Raises:
        MissingExtraError: pyiqa is not installed.
        UsageError: There is no such folder, or none of its pictures can be made again.
    """
    place, shows = Path(folder), interface or UserInterface()
    if not place.is_dir():
        raise UsageError(f"FOLDER must be a folder of a run or of pictures, got {place}.")
    require_writable(place / QUALITY_FILE)
    opened = open_metrics(
        metrics, weights_dir=None if weights_dir is None else Path(weights_dir), device=device
    )
    shows.note(LICENCE_NOTICE)
    pictures, missing = open_pictures(place, source_folders(data_dir, image_root), max_pixels)
    for reason in missing:
        shows.note(f"mmdbench: not measured: {reason}")
    if not pictures:
        raise UsageError(
            f"No picture of {place} can be made again.",
            hint="Name the folder of its benchmarks with --data-dir.",
        )
    with shows.bar("Quality", "pictures") as bar:
        values = measure(pictures, opened, place, batch=batch, on_progress=bar.update)
    return write_quality(place, pictures, opened, values)
