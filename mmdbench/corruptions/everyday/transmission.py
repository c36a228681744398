"""Corruptions by small sizes, glass, video calls and copies of copies.

Of each corruption, `sample_*` draws the parameters, and the decorated function makes the degraded image from
these and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions import params as p
from mmdbench.corruptions import transmission as paper
from mmdbench.corruptions._random import random_bytes
from mmdbench.corruptions._warping import in_32nds
from mmdbench.corruptions.definition import Image, corruption
from mmdbench.errors import ParamsError

if TYPE_CHECKING:
    from mmdbench.corruptions._random import Stream
    from mmdbench.corruptions.spec import Values

Indices = NDArray[np.intp]

_VALUES_PER_STRIP = 1 << 16

_SIDE = p.row(2, 1, p.COORDINATE)


def _nearest(image: Image, size: Sequence[int]) -> Image:
    """The image at a size (width, height) in px, by the nearest pixel."""
    columns, rows = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, image.shape[1::-1], strict=True)
    )
    return np.asarray(np.take(image[rows], columns, axis=1), np.uint8)


def _bilinear(image: Image, size: Sequence[int]) -> Image:
    """The image at a size (width, height) in px, bilinear, the same in every OpenCV."""
    made = cv2.resize(image, (size[0], size[1]), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(made, np.uint8).reshape(size[1], size[0], 3)


def _bicubic(image: Image, size: Sequence[int]) -> Image:
    """The image at a size (width, height) in px, by cubic curves through the nearest 4×4 pixels.

    Positions are in 1/32 px and weights in 1/128: single precision adds whole numbers below 2²⁴ exactly.
    """
    width, height = size
    turned = np.ascontiguousarray(image.transpose(1, 0, 2)).reshape(image.shape[1], -1)
    across = np.concatenate(list(_curves(turned, width))).reshape(width, -1, 3)
    lines = np.ascontiguousarray(across.transpose(1, 0, 2)).reshape(len(image), -1)
    strips = [np.clip(np.rint(strip / 128**2), 0, 255).astype(np.uint8) for strip in _curves(lines, height)]
    return np.concatenate(strips).reshape(height, width, 3)


def _curves(lines: NDArray[Any], length: int) -> Iterator[NDArray[np.float32]]:
    """Strips of lines between these, so many in all, times 128."""
    last = len(lines) - 1
    place = in_32nds((np.arange(length) + 0.5) * ((last + 1) / length) - 0.5, last + 1)
    away = np.abs(place[:, None] / 32 - (place[:, None] >> 5) - np.arange(-1, 3))
    near, far = (1.25 * away - 2.25) * away**2 + 1, ((-0.75 * away + 3.75) * away - 6) * away + 3
    weights = np.rint(128 * np.where(away <= 1, near, far)).astype(np.float32)
    weights[:, 1] += 128 - weights.sum(axis=1)
    step = max(1, _VALUES_PER_STRIP // lines.shape[1])
    for start in range(0, length, step):
        part = slice(start, start + step)
        taps = np.clip((place[part] >> 5)[:, None] + np.arange(-1, 3), 0, last)
        yield sum(
            (weights[part, k, None] * lines[taps[:, k]] for k in range(1, 4)),
            start=weights[part, 0, None] * lines[taps[:, 0]],
        )


def _averaged(image: Image, size: Sequence[int]) -> Image:
    """The image at a smaller size (width, height) in px: the mean of the whole pixels in each box."""
    lines, columns = (
        np.arange(new + 1) * old // new for new, old in zip(size[::-1], image.shape[:2], strict=True)
    )
    return np.rint(_means(image, lines, columns)).astype(np.uint8)


def _means(image: Image, lines: Indices, columns: Indices) -> NDArray[np.float64]:
    """The means between these rows and these columns, which include both borders of the image."""
    corners = cv2.integral(image, sdepth=cv2.CV_64F)[lines][:, columns]
    pixels = np.outer(np.diff(lines), np.diff(columns))
    return np.asarray(np.diff(np.diff(corners, axis=0), axis=1) / pixels[..., None])


def _smaller(size: tuple[int, int], share: float) -> list[int]:
    """(height, width) times a share, as [width, height], at least 1 px."""
    return [max(1, round(side * share)) for side in size[::-1]]


def sample_low_resolution(values: Values, rng: Stream) -> dict[str, Any]:
    """The small size in px, and the methods of the ways down and up."""
    methods = {way: rng.integer(0, 2) for way in ("down", "up")}
    return {"size": _smaller(values.size, 1 / values.number("factor")), **methods}


@corruption(sample_low_resolution, size=_SIDE, down=p.integer(0, 2), up=p.integer(0, 2))
def low_resolution(image: Image, params: p.Params) -> Image:
    """Bring the image to the small size and back, by the nearest pixel (0), area (1) or bicubic (2).

    Areas are averaged on the way down, and bilinear on the way up.
    """
    if any(small > large for small, large in zip(params["size"], image.shape[1::-1], strict=True)):
        raise ParamsError(
            f"low_resolution: the size {params['size']} is larger than the image.",
            hint="Draw the params with sample() for an image of this size.",
        )
    small = (_nearest, _averaged, _bicubic)[params["down"]](image, params["size"])
    return (_nearest, _bilinear, _bicubic)[params["up"]](small, image.shape[1::-1])


def sample_glass_blur(values: Values, rng: Stream) -> dict[str, Any]:
    """The longest way of a pixel (px, along each side), and the seed of the ways."""
    return {"reach": values.number("reach"), "seed": rng.word()}


@corruption(sample_glass_blur, reach=p.number(0, 4096), seed=p.integer(0, 2**32 - 1))
def glass_blur(image: Image, params: p.Params) -> Image:
    """Give every pixel the place of a random one nearby."""
    height, width = image.shape[:2]
    away = np.rint(params["reach"] * (np.arange(256) - 127.5) / 127.5).astype(np.int16)
    place = cv2.LUT(random_bytes(params["seed"], (height, width, 2)), away)
    x, y = np.arange(width, dtype=np.int16), np.arange(height, dtype=np.int16)[:, None]
    # Clipped before they are added: 16 bits do not hold a place far outside of the largest pictures.
    for axis, here, last in ((0, x, width - 1), (1, y, height - 1)):
        place[..., axis] = here + np.clip(place[..., axis], -here, last - here)
    return _from_places(image, place)


def _from_places(image: Image, place: NDArray[Any]) -> Image:
    """The picture of the pixels at these places, H×W×2 16-bit (x, y)."""
    made = cv2.remap(image, place, None, cv2.INTER_NEAREST)  # type: ignore[call-overload]  # None: no fractions
    return np.asarray(made, np.uint8).reshape(image.shape)


def sample_video_blocks(values: Values, rng: Stream) -> dict[str, Any]:
    """The share of lost runs of blocks, the block's side and the motion in px, the run's length in blocks."""
    lengths = {key: max(1, values.integer(key)) for key in ("block", "run")}
    return {"lost": values.number("lost"), "motion": values.integer("motion"), **lengths, "seed": rng.word()}


@corruption(
    sample_video_blocks,
    lost=p.number(0, 1),
    block=p.integer(1, p.COORDINATE),
    run=p.integer(1, 64),
    motion=p.integer(0, 4096),
    seed=p.integer(0, 2**32 - 1),
)
def video_blocks(image: Image, params: p.Params) -> Image:
    """Fill runs of blocks from elsewhere, as wrong motion vectors do, and correct the mean of each block."""
    height, width = image.shape[:2]
    side, run = params["block"], params["block"] * params["run"]
    tops, lefts = np.arange(0, height, side), np.arange(0, width, side)
    drawn = random_bytes(params["seed"], (len(tops), -(-width // run), 3))
    way = np.rint(params["motion"] * (drawn[..., 1:] - 127.5) / 127.5).astype(int)
    way[drawn[..., 0] >= 256 * params["lost"]] = 0
    rows, runs = np.arange(height) // side, np.arange(width) // run
    place = np.empty((height, width, 2), np.int16)
    place[..., 0] = np.clip(np.arange(width) + way[:, runs, 0], 0, width - 1)[rows]
    place[..., 1] = np.clip(np.arange(height)[:, None] + way[rows, :, 1], 0, height - 1)[:, runs]
    guess = _from_places(image, place)
    lines, columns = np.append(tops, height), np.append(lefts, width)
    residue = np.rint(_means(image, lines, columns) - _means(guess, lines, columns))
    for change, mix in ((residue, cv2.add), (-residue, cv2.subtract)):
        blocks = np.maximum(change, 0).astype(np.uint8)
        mix(guess, np.repeat(np.repeat(blocks, side, axis=1), side, axis=0)[:height, :width], dst=guess)
    return guess


def sample_re_encoding(values: Values, rng: Stream) -> dict[str, Any]:
    """Of each generation the width and height in px, and the quality of its JPEG."""
    generations = []
    for _ in range(values.integer("generations")):
        share = values.number("size") * rng.uniform(*values.constant("size_varies"))
        quality = values.number("quality") * rng.uniform(*values.constant("quality_varies"))
        generations.append([*_smaller(values.size, share), min(max(1, round(quality)), 100)])
    return {"generations": generations}


@corruption(sample_re_encoding, generations=p.rows(3))
def re_encoding(image: Image, params: p.Params) -> Image:
    """Bring the image to a size and through JPEG, once for each generation, and back to its own size."""
    copy = image
    for width, height, quality in params["generations"]:
        # Bilinear takes no more than 2×2 pixels into account.
        smaller = _averaged if 2 * width < copy.shape[1] and 2 * height < copy.shape[0] else _bilinear
        copy = paper.jpeg_compression.apply(smaller(copy, (width, height)), {"quality": quality})
    return _bilinear(copy, image.shape[1::-1])
