"""Corruptions by the lens and the sensor: fringes of colour, blown highlights, a bent image, noise.

Of each corruption, `sample_*` draws the parameters (nothing is drawn where there is none), and the
decorated function makes the degraded image from these and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mmdbench.corruptions import params as p
from mmdbench.corruptions._blending import look_up
from mmdbench.corruptions._warping import in_32nds, warp
from mmdbench.corruptions.definition import Image, corruption
from mmdbench.corruptions.everyday._light import encoded, linear

if TYPE_CHECKING:
    from mmdbench.corruptions._random import Stream
    from mmdbench.corruptions.spec import Values


def sample_chromatic_aberration(values: Values, rng: Stream) -> dict[str, Any]:
    """The optical centre (px), and by how much red is larger and blue smaller, or the other way round."""
    height, width = values.size
    centre = [rng.integer(width // 3, width - width // 3), rng.integer(height // 3, height - height // 3)]
    return {"centre": centre, "magnification": values.number("magnification") * (2 * rng.integer(0, 1) - 1)}


@corruption(
    sample_chromatic_aberration, centre=p.row(2, 0, p.COORDINATE), magnification=p.number(-0.25, 0.25)
)
def chromatic_aberration(image: Image, params: p.Params) -> Image:
    """Enlarge red about the optical centre, and shrink blue by the same share."""
    channels = list(cv2.split(image))
    for channel, growth in ((0, params["magnification"]), (2, -params["magnification"])):
        columns, rows = (
            in_32nds(centre + (np.arange(side) - centre) / (1 + growth), side)
            for side, centre in zip(image.shape[1::-1], params["centre"], strict=True)
        )
        channels[channel] = warp(channels[channel], columns[None], rows[:, None])
    return np.asarray(cv2.merge(channels), np.uint8).reshape(image.shape)


@corruption(stops=p.number(-16, 16))
def overexposure(image: Image, params: p.Params) -> Image:
    """Multiply the light by 2^stops; what is brighter than white is white."""
    return look_up(image, encoded(linear() * 2.0 ** params["stops"]))
