"""Corruptions by light, air and the sensor: darkness, turbulence, noise, scattered light.

Of each corruption, `sample_*` draws the parameters (nothing is drawn where there is none), and the
decorated function makes the degraded image from these and nothing else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mmdbench.corruptions import params as p
from mmdbench.corruptions._blending import blend, gain_table, look_up
from mmdbench.corruptions._filtering import gaussian_blur
from mmdbench.corruptions._random import Stream, normal_indices, normal_quantiles
from mmdbench.corruptions._warping import in_32nds, warp
from mmdbench.corruptions.definition import Image, corruption

if TYPE_CHECKING:
    from mmdbench.corruptions.spec import Values


@corruption(gain=p.number(0, 16))
def dark_illumination(image: Image, params: p.Params) -> Image:
    """Multiply every value by the gain."""
    return look_up(image, gain_table(params["gain"]))


@corruption(
    amplitude_px=p.number(-p.COORDINATE, p.COORDINATE),
    phase_rad=p.number(-1e6, 1e6),
    period_px=p.published(p.number(1e-3, 1e6)),
    vertical_ratio=p.published(p.number(-16, 16)),
)
def atmospheric_turbulence(image: Image, params: p.Params) -> Image:
    """Sample row y at (x + d, y + 0.7·d), d = amplitude · sin(y/30 + phase), bilinear in 1/32 px."""
    height, width = image.shape[:2]
    angles = (y / params["period_px"] + params["phase_rad"] for y in range(height))
    sway = np.array([params["amplitude_px"] * math.sin(angle) for angle in angles])
    rows = in_32nds(np.arange(height) + params["vertical_ratio"] * sway, height)
    return warp(image, in_32nds(np.arange(width)[None, :] + sway[:, None], width), rows[:, None])


def sample_gaussian_noise(values: Values, rng: Stream) -> dict[str, Any]:
    """Sigma in grey levels and the seed of the field of standard-normal values."""
    return {"sigma": values.number("sigma"), "seed": rng.word()}


@corruption(sample_gaussian_noise, sigma=p.number(0, 4096), seed=p.integer(0, 2**64 - 1, default=0))
def gaussian_noise(image: Image, params: p.Params) -> Image:
    """Add the seed's field, scaled by sigma, and truncate; a missing seed reads as 0."""
    # An image value is whole, so truncating the sum is adding the noise rounded down.
    noise = np.floor(normal_quantiles() * params["sigma"]).clip(-256, 255).astype(np.int16)
    field = np.take(noise, normal_indices(params["seed"], image.shape), mode="wrap")
    field += image
    return np.clip(field, 0, 255, out=field).astype(np.uint8)


def sample_color_diffusion(values: Values, rng: Stream) -> dict[str, Any]:
    """Kernel, sigma (px), weights; discs [x, y, radius, grey] above i = 0.9 only."""
    height, width = values.size
    circles = [
        [
            rng.integer(0, width),
            rng.integer(0, height),
            rng.integer(*values.span("circle_radius")),
            rng.integer(*values.span("circle_grey")),
        ]
        for _ in range(values.integer("circles"))
    ]
    gains = {key: values.number(key) for key in ("sigma", "kernel_gain", "image_weight", "diffusion_weight")}
    return {"kernel_size": values.integer("kernel_size"), **gains, "circles": circles}


@corruption(
    sample_color_diffusion,
    kernel_size=p.odd(1, 8191),
    sigma=p.number(0, 4096),
    kernel_gain=p.number(0, 16),
    image_weight=p.number(0, 16),
    diffusion_weight=p.number(0, 16),
    circles=p.rows(4, optional=True),
)
def color_diffusion(image: Image, params: p.Params) -> Image:
    """Mix the image with its darkened, nearly flat blur."""
    diffused = gaussian_blur(image, params["kernel_size"], params["sigma"], params["kernel_gain"])
    for x, y, radius, grey in params["circles"]:
        cv2.circle(diffused, (x, y), radius, (grey,) * 3, -1)
    return blend(image, params["image_weight"], diffused, params["diffusion_weight"])
