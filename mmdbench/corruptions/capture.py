"""Corruptions by the lens and the camera: blur, flare, motion, dirt, faded colour.

Of each corruption, `sample_*` draws the parameters (nothing is drawn where there is none), and the
decorated function makes the degraded image from these and nothing else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions import params as p
from mmdbench.corruptions._blending import blend, look_up
from mmdbench.corruptions._drawing import draw_line
from mmdbench.corruptions._filtering import gaussian_blur, gaussian_weights, line_kernel, sparse_correlate
from mmdbench.corruptions._saturation import desaturate
from mmdbench.corruptions.definition import Image, corruption

if TYPE_CHECKING:
    from mmdbench.corruptions._random import Stream
    from mmdbench.corruptions.spec import Values


@corruption(
    kernel_size=p.odd(1, 8191),
    sigma=p.number(0, 4096),
    image_weight=p.number(0, 16),
    blur_weight=p.number(0, 16),
)
def lens_blur(image: Image, params: p.Params) -> Image:
    """Mix the image with its Gaussian blur."""
    blurred = gaussian_blur(image, params["kernel_size"], params["sigma"])
    return blend(image, params["image_weight"], blurred, params["blur_weight"])


def sample_lens_flare(values: Values, rng: Stream) -> dict[str, Any]:
    """Discs [x, y, radius] and rays [x0, y0, x1, y1] in px, one of each per flare, in one order."""
    height, width = values.size
    spots, rays = [], []
    for _ in range(values.integer("count")):
        x, y = rng.integer(0, width), rng.integer(0, height)
        spots.append([x, y, rng.integer(*values.span("radius"))])
        angle, length = rng.uniform(0, 2 * math.pi), rng.integer(*values.span("ray_length"))
        ends = (x + length * math.cos(angle), y + length * math.sin(angle))
        rays.append([x, y, *(min(int(end), p.COORDINATE) for end in ends)])
    return {
        "spots": spots,
        "rays": rays,
        "rgb": list(values.constant("rgb")),
        "blur_sigma": values.number("blur_sigma"),
        "flare_weight": values.number("flare_weight"),
        "blur_size": values.integer("blur_size"),
        "ray_thickness": values.integer("ray_thickness"),
    }


@corruption(
    sample_lens_flare,
    spots=p.rows(3),
    rays=p.rows(4),
    rgb=p.row(3, 0, 255),
    blur_sigma=p.number(0, 4096),
    flare_weight=p.number(0, 16),
    blur_size=p.published(p.integer(3, 3)),
    ray_thickness=p.published(p.integer(1, 255)),
)
def lens_flare(image: Image, params: p.Params) -> Image:
    """Add a layer of filled discs and rays, blurred 3×3."""
    light = np.zeros(image.shape[:2], np.uint8)
    for (x, y, radius), (x0, y0, x1, y1) in zip(params["spots"], params["rays"], strict=True):
        cv2.circle(light, (x, y), radius, (1,), -1, cv2.LINE_8)
        draw_line(light, (x0, y0), (x1, y1), (1,), params["ray_thickness"])
    # Corners count 1, edges 5, the centre 25: one number tells how much of the 3×3 kernel is lit.
    code = np.outer([1, 5, 1], [1, 5, 1]).astype(np.float32)
    lit = np.asarray(cv2.filter2D(light, -1, code, borderType=cv2.BORDER_REFLECT_101), np.uint8)
    share = _lit_share(params["blur_size"], params["blur_sigma"])
    added = [
        np.clip(params["flare_weight"] * value * share, 0, 255).astype(np.uint8) for value in params["rgb"]
    ]
    layers = {channel.tobytes(): look_up(lit, channel) for channel in added}
    layer = cv2.merge([layers[channel.tobytes()] for channel in added])
    return np.asarray(cv2.add(image, layer), dtype=np.uint8).reshape(image.shape)


def _lit_share(size: int, sigma: float) -> NDArray[np.float64]:
    """For each code of lit neighbours the sum of their Gaussian weights."""
    edge, centre = gaussian_weights(size, sigma)[:2]
    codes = np.arange(256)
    corners, edges, middle = codes % 5, codes // 5 % 5, codes // 25
    return np.asarray(corners * edge**2 + edges * edge * centre + middle * centre**2)


def sample_motion_blur(values: Values, rng: Stream) -> dict[str, Any]:
    """The length of the line (px, the side of its kernel) and its angle."""
    low, high = values.constant("angle")
    return {"kernel_size": values.integer("kernel_size"), "angle_deg": rng.uniform(low, high)}


@corruption(sample_motion_blur, kernel_size=p.integer(1, 2048), angle_deg=p.number(-360, 360))
def motion_blur(image: Image, params: p.Params) -> Image:
    """Average along a line."""
    return sparse_correlate(image, line_kernel(params["kernel_size"], params["angle_deg"]))


def sample_dirty_lens(values: Values, rng: Stream) -> dict[str, Any]:
    """Ellipses [x, y, semi-axis, semi-axis, degrees, grey] and discs [x, y, radius, grey]; drops last."""
    height, width = values.size
    smears, specks, drops = rng.child("ellipses"), rng.child("discs"), rng.child("drops")
    ellipses = [
        [
            smears.integer(0, width),
            smears.integer(0, height),
            *(
                smears.integer(*values.span(key))
                for key in ("ellipse_axis_1", "ellipse_axis_2", "ellipse_rotation")
            ),
            values.integer("ellipse_grey"),
        ]
        for _ in range(values.integer("ellipses"))
    ]
    circles = [
        [
            specks.integer(0, width),
            specks.integer(0, height),
            *(specks.integer(*values.span(key)) for key in ("disc_radius", "disc_grey")),
        ]
        for _ in range(values.integer("discs"))
    ]
    for _ in range(values.integer("drops")):
        centre = [drops.integer(0, width), drops.integer(0, height)]
        circles.append([*centre, drops.integer(*values.span("drop_radius")), values.integer("drop_grey")])
        circles.append([*centre, drops.integer(*values.span("core_radius")), values.integer("core_grey")])
    weights = {key: values.number(key) for key in ("image_weight", "dirt_weight", "blur_sigma")}
    return {"ellipses": ellipses, "circles": circles, **weights}


@corruption(
    sample_dirty_lens,
    ellipses=p.rows(6),
    circles=p.rows(4),
    image_weight=p.number(0, 16),
    dirt_weight=p.number(0, 16),
    blur_sigma=p.published(p.number(0, 2048)),
)
def dirty_lens(image: Image, params: p.Params) -> Image:
    """Mix the image with a blurred grey layer of ellipses and discs, later ones over earlier ones."""
    layer = np.zeros(image.shape[:2], np.uint8)
    for x, y, first, second, rotation, grey in params["ellipses"]:
        cv2.ellipse(layer, (x, y), (first, second), rotation, 0, 360, (grey,), -1)
    for x, y, radius, grey in params["circles"]:
        cv2.circle(layer, (x, y), radius, (grey,), -1)
    sigma = params["blur_sigma"]
    # OpenCV's automatic size for floating-point images: four sigma to each side.
    layer = gaussian_blur(layer, round(8 * sigma + 1) | 1, sigma)
    dirt = np.asarray(cv2.merge([layer] * 3), dtype=np.uint8).reshape(image.shape)
    return blend(image, params["image_weight"], dirt, params["dirt_weight"])


@corruption(gain=p.number(0, 1))
def hsv_saturation(image: Image, params: p.Params) -> Image:
    """Multiply S of 8-bit HSV (H in 0..179) by the gain, truncated."""
    return desaturate(image, params["gain"])
