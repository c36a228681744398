"""Pictures: decoding, resizing, pixel values, patches, position ids, and encoding as PNG."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .settings import Transform

__all__ = [
    "cell_ids",
    "from_cells",
    "open_picture",
    "patches",
    "pixel_values",
    "png_bytes",
    "resized",
    "target_size",
    "to_cells",
]


def open_picture(data: bytes, *, on_white: bool = False) -> Image.Image:
    """Decode a picture as RGB; transparency is dropped, or blended with white."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    if on_white and (picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info):
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def target_size(width: int, height: int, rule: Transform) -> tuple[int, int]:
    """The size of a picture after resizing by a rule.

    Args:
        width: The width, in pixels.
        height: The height, in pixels.
        rule: The rule.

    Returns:
        The new width and height, in pixels.
    """
    scale = min(rule.max_side / max(width, height), 1.0)
    scale = max(scale, rule.min_side / min(width, height))
    width, height = _snapped(width, height, scale, rule.stride)
    if width * height > rule.max_pixels:
        # The published rule scales sides by a ratio of areas; the model was trained on it.
        width, height = _snapped(width, height, rule.max_pixels / (width * height), rule.stride)
    if max(width, height) > rule.max_side:
        width, height = _snapped(width, height, rule.max_side / max(width, height), rule.stride)
    return width, height


def _snapped(width: int, height: int, scale: float, stride: int) -> tuple[int, int]:
    def snap(side: int) -> int:
        return max(stride, round(round(side * scale) / stride) * stride)

    return snap(width), snap(height)


def resized(picture: Image.Image, rule: Transform) -> Image.Image:
    """The picture at the size of the rule, bicubic with antialiasing."""
    return picture.resize(target_size(*picture.size, rule), Image.Resampling.BICUBIC)


def pixel_values(picture: Image.Image) -> Tensor:
    """An RGB picture as float32 [3, height, width] in −1..1."""
    pixels = torch.from_numpy(np.array(picture, dtype=np.uint8)).permute(2, 0, 1)
    return (pixels.float() / 255 - 0.5) / 0.5


def patches(values: Tensor, side: int) -> Tensor:
    """Cut [channels, height, width] into raster-ordered squares: [count, side·side·channels].

    Inside a square the order is row, column, channel. The same cut makes latent tokens of a latent.
    """
    channels, height, width = values.shape
    rows, columns = height // side, width // side
    squares = values.reshape(channels, rows, side, columns, side).permute(1, 3, 2, 4, 0)
    return squares.reshape(rows * columns, side * side * channels)


def to_cells(latent: Tensor, side: int) -> Tensor:
    """A latent [z, height, width] as latent tokens [count, side·side·z]."""
    return patches(latent, side)


def from_cells(tokens: Tensor, rows: int, columns: int, side: int) -> Tensor:
    """Put latent tokens together to a latent.

    Args:
        tokens: The latent tokens, [rows·columns, side·side·z].
        rows: The number of rows of the grid of tokens.
        columns: The number of its columns.
        side: The side of a token, in cells of the latent.

    Returns:
        The latent, [z, rows·side, columns·side].
    """
    squares = tokens.reshape(rows, columns, side, side, -1).permute(4, 0, 2, 1, 3)
    return squares.reshape(-1, rows * side, columns * side)


def cell_ids(rows: int, columns: int, grid_side: int) -> Tensor:
    """Position ids in raster order: row·grid_side + column.

    Args:
        rows: The number of rows of the grid.
        columns: The number of its columns.
        grid_side: The side of the largest grid.

    Returns:
        The ids, [rows·columns].
    """
    return (torch.arange(rows)[:, None] * grid_side + torch.arange(columns)[None, :]).flatten()


def png_bytes(picture: Image.Image) -> bytes:
    """The picture as PNG."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
