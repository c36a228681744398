"""What coding, sending and displaying do: JPEG, lost packets, low bit rates, scan lines.

Each corruption is a pair: `sample_*` draws what is random and writes every number down,
`apply_*` makes the picture from these numbers and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions import _params as p
from mmdbench.corruptions._blending import gain_table, look_up
from mmdbench.corruptions._mean_shift import mean_shift
from mmdbench.errors import ParamsError

if TYPE_CHECKING:
    from mmdbench.corruptions._random import Stream
    from mmdbench.corruptions.spec import Values

__all__ = [
    "BLOCK_EXCHANGE",
    "JPEG_COMPRESSION",
    "MEAN_SHIFT",
    "SCAN_LINES",
    "apply_block_exchange",
    "apply_jpeg_compression",
    "apply_mean_shift",
    "apply_scan_lines",
    "sample_block_exchange",
    "sample_jpeg_compression",
    "sample_mean_shift",
    "sample_scan_lines",
]

Image = NDArray[np.uint8]
Size = tuple[int, int]

JPEG_COMPRESSION = {"quality": p.integer(0, 100)}
BLOCK_EXCHANGE = {"block_size": p.integer(1, p.COORDINATE), "swaps": p.rows(4)}
MEAN_SHIFT = {"spatial_radius": p.integer(0, 1024), "color_radius": p.integer(0, 512)}
SCAN_LINES = {
    "interval": p.integer(1, p.COORDINATE),
    "width": p.integer(0, p.COORDINATE),
    "gain": p.number(0, 16),
}


def sample_jpeg_compression(at: Values, _size: Size, _rng: Stream) -> dict[str, Any]:
    """The JPEG quality, 5..100; nothing is drawn."""
    return {"quality": at.integer("quality")}


def apply_jpeg_compression(image: Image, params: p.Params) -> Image:
    """Encode as baseline JPEG with 4:2:0 chroma and decode again."""
    options = [
        (cv2.IMWRITE_JPEG_QUALITY, params["quality"]),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
    ]
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [value for option in options for value in option]
    )
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def sample_block_exchange(at: Values, size: Size, rng: Stream) -> dict[str, Any]:
    """The block's side (px) and swaps [row, column, row, column] on the grid of whole blocks.

    Where no whole block fits, the block shrinks to half the short side, at least 1 px. An image
    in which only one block fits stays as it is.
    """
    block = at.integer("block_size")
    if block > min(size):
        block = max(1, min(size) // 2)
    last_row, last_column = size[0] // block - 1, size[1] // block - 1
    ends = (last_row, last_column, last_row, last_column)
    return {
        "block_size": block,
        "swaps": [[rng.integer(0, end) for end in ends] for _ in range(at.integer("swaps"))],
    }


def apply_block_exchange(image: Image, params: p.Params) -> Image:
    """Exchange square blocks, one pair after another."""
    out: Image = image.copy()
    side = params["block_size"]
    rows, columns = image.shape[0] // side, image.shape[1] // side
    for swap in params["swaps"]:
        if not all(0 <= k < n for k, n in zip(swap, (rows, columns) * 2, strict=True)):
            raise ParamsError(
                f"block_exchange: the swap {swap} lies outside the grid of {rows}×{columns} blocks.",
                hint="Draw the params with sample() for an image of this size.",
            )
        (top, left, other_top, other_left) = (k * side for k in swap)
        first = out[top : top + side, left : left + side]
        second = out[other_top : other_top + side, other_left : other_left + side]
        first[:], second[:] = second.copy(), first.copy()
    return out


def sample_mean_shift(at: Values, _size: Size, _rng: Stream) -> dict[str, Any]:
    """The radii in px and in grey levels, at least 1; nothing is drawn."""
    return {"spatial_radius": at.integer("spatial_radius"), "color_radius": at.integer("color_radius")}


def apply_mean_shift(image: Image, params: p.Params) -> Image:
    """Mean-shift filtering on a pyramid of two levels."""
    return mean_shift(image, params["spatial_radius"], params["color_radius"])


def sample_scan_lines(at: Values, _size: Size, _rng: Stream) -> dict[str, Any]:
    """The distance and width of the bands in rows, and their gain; nothing is drawn."""
    return {"interval": at.integer("interval"), "width": at.integer("width"), "gain": at.number("gain")}


def apply_scan_lines(image: Image, params: p.Params) -> Image:
    """Darken bands of rows; the first starts at row 0."""
    out: Image = image.copy()
    banded = np.arange(image.shape[0]) % params["interval"] < params["width"]
    out[banded] = look_up(image[banded], gain_table(params["gain"]))
    return out
