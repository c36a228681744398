"""Corruptions by the lens and the sensor: fringes of colour, blown highlights, a bent image, noise.

Of each corruption, `sample_*` draws the parameters (nothing is drawn where there is none), and the
decorated function makes the degraded image from these and nothing else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mmdbench.corruptions import params as p
from mmdbench.corruptions._blending import look_up
from mmdbench.corruptions._random import normal_indices, normal_quantiles
from mmdbench.corruptions._warping import in_32nds, warp
from mmdbench.corruptions.definition import Image, corruption
from mmdbench.corruptions.everyday._light import encoded, linear

if TYPE_CHECKING:
    from mmdbench.corruptions._random import Stream
    from mmdbench.corruptions.spec import Values

_CELL = 8


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
    out: Image = image.copy()
    for channel, growth in ((0, params["magnification"]), (2, -params["magnification"])):
        columns, rows = (
            in_32nds(centre + (np.arange(side) - centre) / (1 + growth), side)
            for side, centre in zip(image.shape[1::-1], params["centre"], strict=True)
        )
        moved = warp(np.asarray(cv2.extractChannel(image, channel)), columns[None], rows[:, None])
        cv2.insertChannel(moved, out, channel)
    return out


@corruption(stops=p.number(-16, 16))
def overexposure(image: Image, params: p.Params) -> Image:
    """Multiply the light by 2^stops; what is brighter than white is white."""
    return look_up(image, encoded(linear() * 2.0 ** params["stops"]))


def sample_elastic(values: Values, rng: Stream) -> dict[str, Any]:
    """The mean displacement (share of the short side), and plane waves of it.

    Each wave is [wavelength in thousandths of the short side, direction and phase in degrees]; the first half
    moves pixels sideways, the other up and down.
    """
    low, high = values.span("wavelength")
    waves = [
        [rng.integer(low, high), rng.integer(0, 359), rng.integer(0, 359)]
        for _ in range(2 * values.integer("waves"))
    ]
    return {"displacement": values.number("displacement"), "waves": waves}


@corruption(sample_elastic, displacement=p.number(0, 1), waves=p.rows(3))
def elastic(image: Image, params: p.Params) -> Image:
    """Move every pixel by a smooth field of this mean displacement; border pixels fill what comes in."""
    height, width = image.shape[:2]
    side = min(height, width)
    # The field is computed at every eighth pixel; bilinear in between, of whole numbers, is exact.
    y, x = (np.arange(-(-length // _CELL) + 1) * (_CELL / side) for length in (height, width))
    field = np.zeros((2, len(y), len(x)))
    for number, (wavelength, direction, phase) in enumerate(params["waves"]):
        turn, start = math.radians(direction), math.radians(phase)
        cycles = (y[:, None] * math.sin(turn) + x * math.cos(turn)) * (1000 / wavelength)
        field[2 * number // len(params["waves"])] += np.sin(2 * math.pi * cycles + start)
    field *= 32 * params["displacement"] * side / np.hypot(*field).mean()
    size = (_CELL * len(x), _CELL * len(y))
    moved = (
        cv2.resize(np.rint(part).astype(np.float32), size, interpolation=cv2.INTER_LINEAR) for part in field
    )
    # Toward zero: the bilinear values are multiples of 1/256 of 1/32 px.
    columns, rows = (part[:height, :width].astype(np.int32) for part in moved)
    columns += 32 * np.arange(width, dtype=np.int32)
    rows += 32 * np.arange(height, dtype=np.int32)[:, None]
    np.clip(columns, 0, 32 * (width - 1), out=columns)
    np.clip(rows, 0, 32 * (height - 1), out=rows)
    return warp(image, columns, rows)


def sample_sensor_noise(values: Values, rng: Stream) -> dict[str, Any]:
    """Electrons of white, the read noise in electrons, and the seed of the noise."""
    white = values.number("full_well") / 2 ** values.number("stops")
    return {"white": round(white, 2), "read_noise": values.number("read_noise"), "seed": rng.word()}


@corruption(
    sample_sensor_noise,
    white=p.number(1, 10000),
    read_noise=p.number(0, 50),
    seed=p.integer(0, 2**32 - 1),
)
def sensor_noise(image: Image, params: p.Params) -> Image:
    """Noise of counted electrons (Poisson) and of reading them (normal), in linear light.

    On Anscombe's scale, 2·sqrt(electrons + 3/8 + read noise squared), both together are normal noise of
    variance 1 whatever the light, which is added there in 1/128.
    """
    white, offset = params["white"], 3 / 8 + params["read_noise"] ** 2
    scale = np.rint(256 * np.sqrt(white * linear() + offset)).astype(np.int32)
    electrons = (np.arange(scale[-1] + 128 * 5) / 256) ** 2 - offset - 1 / 4
    values = np.zeros(1 << 16, np.uint8)  # sums below 0 wrap around to its end
    values[: len(electrons)] = encoded(electrons / white)
    noise = np.rint(128 * normal_quantiles()).astype(np.int16)
    field = np.take(noise, normal_indices(params["seed"], image.shape), mode="wrap")
    field += np.asarray(cv2.LUT(image, scale.astype(np.int16)), np.int16).reshape(image.shape)
    return np.take(values, field.view(np.uint16), mode="wrap")
