"""Rain: bright streaks that fall at one angle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mmdbench.corruptions import corruption
from mmdbench.corruptions import params as p
from mmdbench.corruptions.definition import Image, Stream, Values
from mmdbench_rain.drawing import brightened

_STANZA = {
    "category": "environmental",
    "meaning": "bright streaks of rain, at one angle for the whole picture",
    "random": ["angle", "place of each streak"],
    "look": "thin bright streaks, all at one angle",
    "numbers": {
        "count": {"unit": "streaks", "formula": "10 + int(400*i)", "scale": "count", "min": 1},
        "length": {"unit": "px", "formula": "8 + int(24*i)", "scale": "length", "min": 2},
        "angle": {"unit": "degrees", "range": [-20.0, 20.0]},
        "gain": {"unit": "gain", "formula": "0.3 + 0.4*i", "at": [0.392, 0.48, 0.66]},
    },
}


def sample_rain(values: Values, rng: Stream) -> dict[str, Any]:
    """The angle in degrees, and the upper end of each streak in px."""
    height, width = values.size
    low, high = values.constant("angle")
    angle = rng.uniform(low, high)
    starts = [[rng.integer(0, width - 1), rng.integer(0, height - 1)] for _ in range(values.integer("count"))]
    return {
        "starts": starts,
        "length": values.integer("length"),
        "angle": angle,
        "gain": values.number("gain"),
    }


@corruption(
    sample_rain,
    stanza=_STANZA,
    starts=p.rows(2),
    length=p.integer(1, p.COORDINATE),
    angle=p.number(-90, 90),
    gain=p.number(0, 1),
)
def rain(image: Image, params: p.Params) -> Image:
    """Brighten the pixels of every streak."""
    height, width = image.shape[:2]
    steps = np.arange(params["length"])
    slope = math.tan(math.radians(params["angle"]))
    starts = np.array(params["starts"]).reshape(-1, 2)
    x = starts[:, :1] + np.rint(steps * slope).astype(int)
    y = starts[:, 1:] + steps
    inside = (x >= 0) & (x < width) & (y < height)
    wet = np.zeros((height, width), bool)
    wet[y[inside], x[inside]] = True
    return brightened(image, wet, params["gain"])
