"""Corruptions by coding, sending and displaying: JPEG, lost packets, low bit rates, scan lines.

Of each corruption, `sample_*` draws the parameters (nothing is drawn where there is none), and the
decorated function makes the degraded image from these and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mmdbench.corruptions import params as p
from mmdbench.corruptions._blending import gain_table, look_up
from mmdbench.corruptions._mean_shift import mean_shift as filter_by_mean_shift
from mmdbench.corruptions.definition import Image, corruption
from mmdbench.errors import ParamsError

if TYPE_CHECKING:
    from mmdbench.corruptions._random import Stream
    from mmdbench.corruptions.spec import Values


@corruption(quality=p.integer(0, 100))
def jpeg_compression(image: Image, params: p.Params) -> Image:
    """Encode as baseline JPEG with 4:2:0 chroma and decode again."""
    options = [cv2.IMWRITE_JPEG_QUALITY, params["quality"]]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def sample_block_exchange(values: Values, rng: Stream) -> dict[str, Any]:
    """The block's side (px) and swaps [row, column, row, column] on the grid of whole blocks.

    Where no whole block fits, the block shrinks to half the short side, at least 1 px. An image
    in which only one block fits stays as it is.
    """
    block, (height, width) = values.integer("block_size"), values.size
    if block > min(height, width):
        block = max(1, min(height, width) // 2)
    last_row, last_column = height // block - 1, width // block - 1
    ends = (last_row, last_column, last_row, last_column)
    return {
        "block_size": block,
        "swaps": [[rng.integer(0, end) for end in ends] for _ in range(values.integer("swaps"))],
    }


@corruption(sample_block_exchange, block_size=p.integer(1, p.COORDINATE), swaps=p.rows(4))
def block_exchange(image: Image, params: p.Params) -> Image:
    """Exchange square blocks, one pair after another."""
    out: Image = image.copy()
    side = params["block_size"]
    rows, columns = image.shape[0] // side, image.shape[1] // side
    for swap in params["swaps"]:
        row, column, other_row, other_column = swap
        if not (min(swap) >= 0 and max(row, other_row) < rows and max(column, other_column) < columns):
            raise ParamsError(
                f"block_exchange: the swap {swap} is outside the grid of {rows}×{columns} blocks.",
                hint="Draw the params with sample() for an image of this size.",
            )
        top, left, other_top, other_left = row * side, column * side, other_row * side, other_column * side
        first = out[top : top + side, left : left + side]
        second = out[other_top : other_top + side, other_left : other_left + side]
        kept = first.copy()
        first[:] = second
        second[:] = kept
    return out


@corruption(spatial_radius=p.integer(0, 4096), color_radius=p.integer(0, 512))
def mean_shift(image: Image, params: p.Params) -> Image:
    """Mean-shift filtering on a pyramid of two levels."""
    return filter_by_mean_shift(image, params["spatial_radius"], params["color_radius"])


@corruption(
    interval=p.integer(1, p.COORDINATE),
    width=p.integer(0, p.COORDINATE),
    gain=p.number(0, 16),
)
def scan_lines(image: Image, params: p.Params) -> Image:
    """Darken bands of rows; the first starts at row 0."""
    out: Image = image.copy()
    banded = np.arange(image.shape[0]) % params["interval"] < params["width"]
    out[banded] = look_up(image[banded], gain_table(params["gain"]))
    return out
