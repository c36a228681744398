"""Corruptions of the finished picture: sharpening, graffiti, removed watermarks.

Of each corruption, `sample_*` draws the parameters (nothing is drawn where there is none), and the
decorated function makes the degraded image from these and nothing else.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mmdbench.corruptions import params as p
from mmdbench.corruptions._blending import blend, gain_table, look_up
from mmdbench.corruptions._drawing import draw_line, draw_text, text_size
from mmdbench.corruptions._filtering import correlate_directly
from mmdbench.corruptions._inpainting import inpaint
from mmdbench.corruptions.definition import Image, corruption

if TYPE_CHECKING:
    from mmdbench.corruptions._random import Stream
    from mmdbench.corruptions.spec import Values

_POINT = p.row(2, -p.COORDINATE, p.COORDINATE)
_COLOR = p.row(3, 0, 255)
_BYTES_PER_STRIP = 1 << 20


@corruption(
    kernel_gain=p.number(0, 1e6),
    image_weight=p.number(0, 16),
    sharp_weight=p.number(0, 16),
)
def sharpness_change(image: Image, params: p.Params) -> Image:
    """Mix the image with its 3×3 sharpening, which is multiplied by the gain and saturates."""
    out = np.empty_like(image)
    rows = max(1, _BYTES_PER_STRIP // image[0].size)
    for start in range(0, len(image), rows):
        above, strip = min(start, 1), slice(start, start + rows)
        sharp = _sharpened(image[start - above : start + rows + 1], params["kernel_gain"])
        sharp = sharp.reshape(-1, *image.shape[1:])[above : above + len(out[strip])]
        blend(image[strip], params["image_weight"], sharp, params["sharp_weight"], out=out[strip])
    return out


def _sharpened(image: Image, gain: float) -> Image:
    """round(gain · sharpened), clipped to 0..255."""
    kernel = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)
    if _fits_single_precision(gain):
        return correlate_directly(image, kernel * np.float32(gain), (1, 1))
    # From a gain of 1 on, 255 saturates already: the whole-number filter may be cut there.
    depth = cv2.CV_8U if gain >= 1 else cv2.CV_16S
    edges = np.asarray(cv2.filter2D(image, depth, kernel, borderType=cv2.BORDER_REFLECT_101))
    gained = np.clip(np.rint(np.arange(5 * 255 + 1) * gain), 0, 255).astype(np.uint8)
    if gain < 1:
        return np.asarray(gained[np.maximum(edges, 0)])
    return look_up(edges.astype(np.uint8, copy=False), gained[:256])


@lru_cache(maxsize=64)
def _fits_single_precision(gain: float) -> bool:
    """True if single precision cannot round a multiple of the gain the wrong way: none is near a tie."""
    products = gain * np.arange(256 / gain + 1 if gain > 1 else 0)
    # Weights, products and sums of up to 2,295 times the gain are each rounded to 24 bits.
    return gain > 1 and bool((np.abs(products % 1 - 0.5) > gain * 2**-10).all())


def sample_graffiti(values: Values, rng: Stream) -> dict[str, Any]:
    """Strokes (ends in px as [x, y], thickness in px) and at most one text.

    The text is left out where it would not fit: height ≤ the text's height + 20 px. Where it is
    wider than the image, it starts at the left border.
    """
    height, width = values.size
    strokes = []
    for _ in range(values.integer("strokes")):
        color = [rng.integer(*values.span("color")) for _ in range(3)]
        start, end = ([rng.integer(0, width - 1), rng.integer(0, height - 1)] for _ in range(2))
        thickness = rng.integer(*values.span("thickness"))
        strokes.append({"start": start, "end": end, "thickness": thickness, "rgb": color})
    return {
        "strokes": strokes,
        "text": _sample_text(values, rng.child("text")) if values.truth("text") else None,
    }


def _sample_text(values: Values, rng: Stream) -> dict[str, Any] | None:
    height, width = values.size
    words, scale, thickness = (
        values.constant("words"),
        values.number("font_scale"),
        values.integer("font_thickness"),
    )
    choice, figure = rng.integer(0, len(words)), rng.integer(*values.span("number"))
    string = words[choice] if choice < len(words) else str(figure)
    text_width, text_height = text_size(string, scale, thickness)
    margin = round(values.number("text_margin"))
    if height <= text_height + 2 * margin:
        return None
    x = rng.integer(0, max(1, width - text_width - margin))
    y = rng.integer(text_height + margin, height - margin)
    rgb = list(values.constant("text_rgb"))
    return {"string": string, "origin": [x, y], "font_scale": scale, "thickness": thickness, "rgb": rgb}


@corruption(
    sample_graffiti,
    strokes=p.records(start=_POINT, end=_POINT, thickness=p.integer(1, 512), rgb=_COLOR),
    text=p.record(
        optional=True,
        string=p.text("ACDEFGHIKOPRTVXY0123456789"),
        origin=_POINT,
        font_scale=p.number(1e-3, 1000),
        thickness=p.integer(1, 512),
        rgb=_COLOR,
    ),
)
def graffiti(image: Image, params: p.Params) -> Image:
    """Draw the strokes, then the text."""
    out: Image = image.copy()
    for stroke in params["strokes"]:
        draw_line(out, stroke["start"], stroke["end"], stroke["rgb"], stroke["thickness"])
    text = params["text"]
    if text is not None:
        draw_text(out, text["string"], text["origin"], text["font_scale"], text["rgb"], text["thickness"])
    return out


def sample_watermark_damage(values: Values, rng: Stream) -> dict[str, Any]:
    """Boxes [x0, y0, x1, y1] in px, both corners included; they may reach beyond the image.

    Along a side shorter than the margin (50 px) margin and box shrink as if 200 px had shrunk to
    that side: at 20 px, a tenth of the published lengths, at least 1 px.
    """
    height, width = values.size
    margin = values.number("margin")
    margin_x, low_x, high_x = _fitted(width, margin, values.span("width"))
    margin_y, low_y, high_y = _fitted(height, margin, values.span("height"))
    boxes = []
    for _ in range(values.integer("boxes")):
        x, y = rng.integer(0, width - margin_x), rng.integer(0, height - margin_y)
        ends = (x + rng.integer(low_x, high_x), y + rng.integer(low_y, high_y))
        boxes.append([x, y, *(min(end, p.COORDINATE) for end in ends)])
    return {
        "boxes": boxes,
        "inpaint_radius": values.integer("inpaint_radius"),
        "strength": values.number("strength"),
        "darken_edges": values.truth("darken_edges"),
        "edge_gain": values.number("edge_gain"),
    }


def _fitted(side: int, margin: float, span: tuple[int, int]) -> tuple[int, int, int]:
    share = 1.0 if side >= margin else side / (4 * margin)
    small, low, high = (max(1, int(length * share)) for length in (margin, *span))
    return small, low, high


@corruption(
    sample_watermark_damage,
    boxes=p.rows(4),
    inpaint_radius=p.integer(1, 256),
    strength=p.number(0, 1),
    darken_edges=p.flag(),
    edge_gain=p.published(p.number(0, 1)),
)
def watermark_damage(image: Image, params: p.Params) -> Image:
    """Fill the boxes from their surroundings (Telea), mix with the image, darken their outlines.

    Where the boxes leave nothing to fill from, they keep the image.
    """
    mask = np.zeros(image.shape[:2], np.uint8)
    boxes = [
        (slice(max(0, y0), max(0, y1 + 1)), slice(max(0, x0), max(0, x1 + 1)))
        for x0, y0, x1, y1 in params["boxes"]
    ]
    for box in boxes:
        mask[box] = 255
    strength = params["strength"]
    out: Image = image.copy()
    if mask.any() and not mask.all():
        filled = inpaint(image, mask, params["inpaint_radius"])
        for box in boxes:
            out[box] = blend(image[box], 1 - strength, filled[box], strength)
    if params["darken_edges"]:
        outline = cv2.Canny(mask, 50, 150) > 0
        out[outline] = gain_table(params["edge_gain"])[out[outline]]
    return out
