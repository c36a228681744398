"""Corruptions by holding, covering and photographing a picture again: skew, turns, stickers, moiré.

Of each corruption, `sample_*` draws the parameters, and the decorated function makes the degraded image from
these and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions import params as p
from mmdbench.corruptions._blending import look_up
from mmdbench.corruptions._drawing import draw_text, text_size
from mmdbench.corruptions._filtering import gaussian_blur
from mmdbench.corruptions._random import Stream
from mmdbench.corruptions.definition import Image, Values, corruption
from mmdbench.corruptions.everyday._layers import GRID, cover, enlarged

Matrix = NDArray[np.float64]

_COLOR = p.row(3, 0, 255)
_PIXELS_PER_STRIP = 1 << 15
_SHAPES = 5
_STICKERS = (
    ((214, 40, 40), "HOT"),
    ((30, 110, 200), "VIP"),
    ((240, 150, 20), "FREE"),
    ((40, 150, 70), "TOP"),
    ((140, 60, 160), "50"),
)
_SKIN_RGB = ((236, 188, 160), (198, 140, 104), (146, 96, 66), (92, 60, 44))


def sample_perspective(values: Values, rng: Stream) -> dict[str, Any]:
    """Insets of the corners in thousandths of the sides, [x, y] clockwise from the upper left; the desk."""
    most = 1000 * values.number("inset")
    insets = [int(most * rng.uniform(*values.constant("share"))) for _ in range(8)]
    return {"insets": insets, "rgb": _one_of(values.constant("rgb"), rng)}


def _one_of(choices: Any, rng: Stream) -> Any:
    return choices[rng.integer(0, len(choices) - 1)]


@corruption(sample_perspective, insets=p.row(8, 0, 450), rgb=_COLOR)
def perspective(image: Image, params: p.Params) -> Image:
    """The whole picture as a page seen from the side, with the desk around it."""
    inset = [share / 1000 for share in params["insets"]]
    x = inset[0], 1 - inset[2], 1 - inset[4], inset[6]
    y = inset[1], inset[3], 1 - inset[5], 1 - inset[7]
    return _projected(image, _from_corners(x, y), params["rgb"])


def _from_corners(x: Sequence[float], y: Sequence[float]) -> Matrix:
    """The 3×3 map to the unit square from a convex quadrangle, clockwise from the upper left corner."""
    skew_x, skew_y = x[0] - x[1] + x[2] - x[3], y[0] - y[1] + y[2] - y[3]
    area = (x[1] - x[2]) * (y[3] - y[2]) - (x[3] - x[2]) * (y[1] - y[2])
    g = (skew_x * (y[3] - y[2]) - skew_y * (x[3] - x[2])) / area
    h = (skew_y * (x[1] - x[2]) - skew_x * (y[1] - y[2])) / area
    first = np.array([x[1] - x[0] + g * x[1], y[1] - y[0] + g * y[1], g])
    second = np.array([x[3] - x[0] + h * x[3], y[3] - y[0] + h * y[3], h])
    third = np.array([x[0], y[0], 1.0])
    # The inverse of the map from the square, up to a factor, which does not matter.
    return np.stack([np.cross(second, third), np.cross(third, first), np.cross(first, second)])


def _projected(image: Image, source: Matrix, rgb: Sequence[int]) -> Image:
    """The image sampled at source·(x, y, 1), with a colour outside of it; x and y are shares of the sides.

    Every operation is exactly rounded, one at a time, so that positions are the same on every machine.
    """
    height, width = image.shape[:2]
    # To px; single precision is to 1/500 px in the largest picture.
    in_px = [width * source[0] - source[2] / 2, height * source[1] - source[2] / 2, source[2]]
    steps = np.array(in_px, np.float32)
    out, x = np.empty_like(image), ((np.arange(width) + 0.5) / width).astype(np.float32)
    rows = max(1, _PIXELS_PER_STRIP // width)
    for start in range(0, height, rows):
        y = ((np.arange(start, min(start + rows, height))[:, None] + 0.5) / height).astype(np.float32)
        across, down, scale = (by_x * x + (by_y * y + offset) for by_x, by_y, offset in steps)
        with np.errstate(divide="ignore"):
            places = [np.clip(place / scale, -1, side) for place, side in ((across, width), (down, height))]
        # Rounded to 1/32 px; OpenCV's ways of sampling at other places differ from version to version.
        whole, fraction = cv2.convertMaps(places[0], places[1], cv2.CV_16SC2)
        out[start : start + rows] = cv2.remap(
            image, whole, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=tuple(rgb)
        ).reshape(-1, *image.shape[1:])
    return out


def sample_rotation(values: Values, rng: Stream) -> dict[str, Any]:
    """The direction of the turn; what is behind the picture."""
    sign = 1 if rng.integer(0, 1) else -1
    return {"angle_deg": sign * values.number("angle"), "rgb": _one_of(values.constant("rgb"), rng)}


@corruption(sample_rotation, angle_deg=p.number(-360, 360), rgb=_COLOR)
def rotation(image: Image, params: p.Params) -> Image:
    """The picture turned counter-clockwise about its centre; its corners are cut off."""
    angle = math.radians(params["angle_deg"])
    # Rounded, so that the last bit of a platform's sine does not show.
    cos, sin = round(math.cos(angle), 9), round(math.sin(angle), 9)
    tall = image.shape[0] / image.shape[1]
    turn = np.array([[cos, -sin * tall, 0], [sin / tall, cos, 0], [0, 0, 1]])
    turn[:2, 2] = 0.5 - (turn[:2, 0] + turn[:2, 1]) * 0.5
    return _projected(image, turn, params["rgb"])


def sample_occlusion(values: Values, rng: Stream) -> dict[str, Any]:
    """Kind; the place of the first shape in thousandths, from which those of the others follow."""
    kind = rng.integer(0, len(_COVERS) - 1)
    start = [rng.integer(0, 999), rng.integer(0, 999)]
    pick = rng.integer(0, 999)
    return {"kind": kind, "start": start, "pick": pick, "covered": values.number("covered")}


@corruption(
    sample_occlusion,
    kind=p.integer(0, 2),
    start=p.row(2, 0, 999),
    pick=p.integer(0, 999),
    covered=p.number(0, 1),
)
def occlusion(image: Image, params: p.Params) -> Image:
    """Stickers, cut-outs or fingers over about that share of the picture."""
    return _COVERS[params["kind"]](image, params)


def _places(params: p.Params, count: int) -> list[tuple[int, float, float]]:
    """(k, x, y) of each shape in shares of the sides: equal steps from the first, which spread evenly."""
    x, y = params["start"]
    return [
        (k, *(0.08 + 0.84 * (place % 1000 / 1000) for place in (x + 755 * k, y + 570 * k)))
        for k in range(count)
    ]


def _area(params: p.Params) -> float:
    """The share of the picture that each shape takes; overlaps and borders cost what was measured."""
    covered: float = params["covered"]
    return covered / (1 - 0.5 * covered**2) / _SHAPES


def _stickers(image: Image, params: p.Params) -> Image:
    """Round stickers with a white rim and a word."""
    out: Image = image.copy()
    height, width = image.shape[:2]
    radius = round(math.sqrt(_area(params) * height * width / math.pi))
    for k, x, y in _places(params, _SHAPES):
        colour, word = _STICKERS[(params["pick"] + k) % len(_STICKERS)]
        centre = (int(x * width), int(y * height))
        cv2.circle(out, centre, radius, (250, 250, 250), -1)
        cv2.circle(out, centre, round(0.88 * radius), colour, -1)
        thickness = max(2, radius // 8)
        scale = max(0.01, 1.2 * radius / text_size(word, 1, 0)[0])
        wide, tall = text_size(word, scale, 0)
        draw_text(
            out, word, (centre[0] - wide // 2, centre[1] + tall // 2), scale, (255, 255, 255), thickness
        )
    return out


def _cut_outs(image: Image, params: p.Params) -> Image:
    """Boxes of one grey level, where something was cut out or made unrecognizable."""
    out: Image = image.copy()
    height, width = image.shape[:2]
    grey = (0, 127, 255)[params["pick"] % 3]
    half = math.sqrt(_area(params)) / 2
    for k, x, y in _places(params, _SHAPES):
        longer = (1.5, 0.8, 1.2, 0.6, 1)[(params["pick"] + k) % 5]
        left, right = (max(0, round((x + sign * half * longer) * width)) for sign in (-1, 1))
        top, bottom = (max(0, round((y + sign * half / longer) * height)) for sign in (-1, 1))
        out[top:bottom, left:right] = grey
    return out


def _fingers(image: Image, params: p.Params) -> Image:
    """Four fingers from one border, out of focus because they are near."""
    skin = np.array(_SKIN_RGB[params["pick"] // 4 % len(_SKIN_RGB)])
    colour, mask = np.full((GRID, GRID, 3), skin * 3 // 4, np.uint8), np.zeros((GRID, GRID), np.uint8)
    width = GRID // 5
    for k, _, shift in _places(params, 4):
        length = params["covered"] * GRID**2 / (4 * width) * (0.75, 1.0, 0.95, 0.8)[k]
        x, tip = (2 * k + 1) * GRID // 8 + round(6 * shift) - 3, round(GRID - length)
        finger = [np.array([[x, tip + width // 2], [x, GRID + width]], np.int32)]
        cv2.polylines(mask, finger, False, (255,), width)
        for share, tone in ((0.8, 0.9), (0.5, 1.0)):
            cv2.polylines(colour, finger, False, (skin * tone).tolist(), round(share * width))
        nail = (skin + (255 - skin) * 0.35).tolist()
        cv2.ellipse(colour, (x, tip + width // 2), (width // 4, width // 3), 0, 0, 360, nail, -1)
    layers = [np.rot90(gaussian_blur(layer, 7, 1.2), params["pick"] % 4) for layer in (colour, mask)]
    colour, mask = (enlarged(np.ascontiguousarray(layer), image.shape) for layer in layers)
    return cover(image, colour, mask)


_COVERS: tuple[Callable[[Image, p.Params], Image], ...] = (_stickers, _cut_outs, _fingers)


def sample_moire(values: Values, rng: Stream) -> dict[str, Any]:
    """Waves of columns and of rows: [across, down, bend, bend], in thousandths of a turn per side."""
    waves = []
    for across, down in ((1, 0), (0, 1)):
        cycles, lean = rng.uniform(*values.constant("cycles")), rng.uniform(-0.4, 0.4)
        shares = across + lean * down, down - lean * across, rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)
        waves.append([round(1000 * cycles * share) for share in shares])
    numbers = {key: values.number(key) for key in ("depth", "lines", "gaps")}
    return {"waves": waves, **numbers}


@corruption(
    sample_moire, waves=p.rows(4), depth=p.number(0, 1), lines=p.number(1, p.COORDINATE), gaps=p.number(0, 1)
)
def moire(image: Image, params: p.Params) -> Image:
    """Bent fringes, in other places in red, green and blue, and gaps between a screen's pixels."""
    height, width = image.shape[:2]
    darker: list[Image] = [np.zeros((height, width), np.uint8)] * 3
    x, y = ((np.arange(side) + 0.5) / side - 0.5 for side in (width, height))
    for across, down, bend_across, bend_down in np.array(params["waves"]) / 1000:
        columns, rows = (across + bend_across * x) * x, (down + bend_down * y) * y
        turns = [np.rint(phase * 65536).astype(np.int64).astype(np.uint16) for phase in (columns, rows)]
        phase = (np.add.outer(turns[1], turns[0]) >> 8).astype(np.uint8)
        for channel in range(3):
            wave = [math.cos(math.tau * (k / 256 + channel / 6)) for k in range(256)]
            table = np.rint(127 * params["depth"] * (1 + np.array(wave)) / 2).astype(np.uint8)
            darker[channel] = np.asarray(cv2.add(darker[channel], look_up(phase, table)), np.uint8)
    cells = params["lines"] / min(height, width)
    gap = [(np.arange(side) * cells % 1 < 0.3) * np.uint8(127 * params["gaps"]) for side in (height, width)]
    grid = np.maximum.outer(gap[0], gap[1])
    share = cv2.merge([cv2.add(one, grid) for one in darker])
    return cover(image, 0, np.asarray(share, np.uint8).reshape(image.shape))
