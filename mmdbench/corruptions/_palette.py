"""Palette images: corrupted as RGB, then given a new palette; transparency keeps its exact values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image as PilImage

__all__ = ["palette_as_rgb"]

Image = NDArray[np.uint8]


def palette_as_rgb(image: PilImage.Image) -> tuple[Image, Callable[[Image], PilImage.Image]]:
    """RGB pixels of a P or PA image, and a function that makes such an image from RGB pixels.

    Up to 256 colours are kept exactly; more are reduced to 256 by median cut, without dithering. In P
    images with transparency the 256 entries are divided equally among the alpha values in use.
    """
    rgba = np.array(image.convert("RGBA"), dtype=np.uint8)
    alpha = rgba[..., 3]

    def restore(pixels: Image) -> PilImage.Image:
        split = image.mode == "P" and "transparency" in image.info
        indices, palette, opacity = _indexed(pixels, alpha if split else np.zeros_like(alpha))
        return _assembled(image, indices, palette, opacity if split else None, alpha)

    return np.ascontiguousarray(rgba[..., :3]), restore


def _assembled(
    image: PilImage.Image, indices: Image, palette: list[int], opacity: bytes | None, alpha: Image
) -> PilImage.Image:
    from PIL import Image as PilImage

    size, info = (image.width, image.height), dict(image.info)
    if image.mode == "PA":
        result = PilImage.frombytes("PA", size, np.stack([indices, alpha], axis=-1).tobytes())
    else:
        result = PilImage.frombytes("P", size, indices.tobytes())
    result.putpalette(palette)
    result.info = info
    if opacity is not None:
        result.info["transparency"] = opacity
    return result


def _indexed(pixels: Image, groups: Image) -> tuple[Image, list[int], bytes]:
    """Index per pixel, palette, and the group (alpha value) of each palette entry."""
    indices = np.zeros(groups.shape, np.uint8)
    palette: list[int] = []
    opacity: list[int] = []
    values = np.unique(groups)
    for value in values:
        chosen = groups == value
        entries, index = _quantised(pixels[chosen], 256 // len(values))
        indices[chosen] = index + len(opacity)
        palette += entries.ravel().tolist()
        opacity += [int(value)] * len(entries)
    return indices, palette, bytes(opacity)


def _quantised(colors: Image, most: int) -> tuple[Image, Image]:
    """At most `most` colours (N×3) for colours (M×3), and the index of each."""
    from PIL import Image as PilImage

    entries, index = np.unique(colors, axis=0, return_inverse=True)
    if len(entries) <= most:
        return entries, index.reshape(-1).astype(np.uint8)
    strip = PilImage.frombytes("RGB", (len(colors), 1), np.ascontiguousarray(colors).tobytes())
    reduced = strip.quantize(most, PilImage.Quantize.MEDIANCUT, dither=PilImage.Dither.NONE)
    table = np.array(reduced.getpalette(), np.uint8).reshape(-1, 3)
    return table[:most], np.array(reduced, np.uint8).ravel()
