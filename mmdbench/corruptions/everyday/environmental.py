"""Corruptions by weather and light: rain, snow, fog, glare with a shadow.

Of each corruption, `sample_*` draws the parameters, and the decorated function makes the degraded image from
these and nothing else. Lengths are shares of the short side, so that a level looks alike at every size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mmdbench.corruptions import params as p
from mmdbench.corruptions._blending import look_up
from mmdbench.corruptions._filtering import gaussian_blur
from mmdbench.corruptions._random import Stream
from mmdbench.corruptions.definition import Image, Values, corruption
from mmdbench.corruptions.everyday._layers import cover, draw_clouds, draw_falling, grid, spread

_FALLING: dict[str, Any] = {
    "seed": p.integer(0, 2**32 - 1),
    "count": p.integer(0, 1_000_000),
    "fall_px": p.row(2, -p.COORDINATE, p.COORDINATE),
    "width_px": p.number(0, p.COORDINATE),
    "blur_px": p.number(0, 2048),
    "opacity": p.number(0, 1),
    "veil": p.number(0, 1),
    "grey": p.integer(0, 255),
}
_LONGEST_SHAPE = 256


def sample_falling(values: Values, rng: Stream) -> dict[str, Any]:
    """The seed of the places, and the way of the fall in px, the same for all; counts grow with the area."""
    height, width = values.size
    short = min(height, width)
    shapes = min(max(height, width) / short, _LONGEST_SHAPE)
    angle, seed = math.radians(rng.uniform(*values.constant("angle"))), rng.word()
    length = values.number("length") * short
    return {
        "seed": seed,
        "count": min(int(values.number("count") * shapes), height * width),
        "fall_px": [round(length * math.sin(angle)), round(length * math.cos(angle))],
        "width_px": values.number("width") * short,
        "blur_px": values.number("blur") * short,
        "opacity": values.number("opacity"),
        "veil": values.number("veil"),
        "grey": values.integer("grey"),
    }


@corruption(sample_falling, **_FALLING)
def rain(image: Image, params: p.Params) -> Image:
    """Thin bright streaks in one direction over a grey veil."""
    return _fall(image, params)


@corruption(sample_falling, **_FALLING)
def snow(image: Image, params: p.Params) -> Image:
    """Soft white flakes, a little drawn out in one direction, over a pale veil."""
    return _fall(image, params)


def _fall(image: Image, params: p.Params) -> Image:
    brightness = draw_falling(
        image.shape, params["seed"], params["count"], params["fall_px"], params["width_px"]
    )
    sigma = params["blur_px"]
    brightness = gaussian_blur(brightness, round(6 * sigma + 1) | 1, sigma)
    veil, opacity = params["veil"], params["opacity"]
    shares = 255 * (veil + (1 - veil) * opacity * np.arange(256) / 255)
    return cover(image, params["grey"], look_up(brightness, np.rint(shares).astype(np.uint8)))


def sample_fog(values: Values, rng: Stream) -> dict[str, Any]:
    """The seed of the banks."""
    numbers = {key: values.number(key) for key in ("density", "patchiness", "clearing")}
    return {"seed": rng.word(), **numbers, "grey": values.integer("grey")}


@corruption(
    sample_fog,
    seed=p.integer(0, 2**32 - 1),
    density=p.number(0, 1),
    patchiness=p.number(0, 1),
    clearing=p.number(0, 1),
    grey=p.integer(0, 255),
)
def fog(image: Image, params: p.Params) -> Image:
    """A pale layer of uneven density, which clears towards the lower border: what is there is near."""
    banks = 1 - params["patchiness"] * draw_clouds(params["seed"])
    density = params["density"] * banks * (1 - params["clearing"] * grid()[1])
    return cover(image, params["grey"], spread(density, image.shape))


def sample_glare(values: Values, rng: Stream) -> dict[str, Any]:
    """Centre of the light, and the direction in which the shadow lies, in thousandths."""
    centre = [rng.integer(*values.span("centre")) for _ in range(2)]
    angle = rng.uniform(0, 2 * math.pi)
    towards = [round(1000 * math.cos(angle)), round(1000 * math.sin(angle))]
    numbers = {key: values.number(key) for key in ("radius", "light", "haze", "shadow", "softness")}
    return {"centre": centre, "towards": towards, **numbers}


@corruption(
    sample_glare,
    centre=p.row(2, -1000, 2000),
    towards=p.row(2, -1000, 1000),
    radius=p.number(1e-3, 10),
    light=p.number(0, 10),
    haze=p.number(0, 1),
    shadow=p.number(0, 1),
    softness=p.number(1e-3, 10),
)
def glare(image: Image, params: p.Params) -> Image:
    """A white reflection that fades outwards, and a soft-edged shadow on one side of the picture."""
    x, y = grid()
    across, down = (direction / 1000 for direction in params["towards"])
    beyond = ((x - 0.5) * across + (y - 0.5) * down) / params["softness"]
    shaded = cover(image, 0, spread(params["shadow"] * np.clip(beyond + 0.5, 0, 1), image.shape))
    centre_x, centre_y = (place / 1000 for place in params["centre"])
    distance = ((x - centre_x) ** 2 + (y - centre_y) ** 2) / params["radius"] ** 2
    light = params["haze"] + params["light"] / (1 + distance) ** 2
    return cover(shaded, 255, spread(light, image.shape))
