"""A plain pipeline for degraded benchmarks, to measure time and memory against.

It follows the description of the published pipeline: one decode for each variant, OpenCV and NumPy
called as the corruptions are defined, a pool of 128 threads, pandas with its Python engine to read
and `to_csv` to write. Random numbers come from the global generators, without seeds.
"""

from __future__ import annotations

import base64
import csv
import math
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 128
LEVELS = {"low": 0.23, "mid": 0.45, "hard": 0.9}
_WORDS = ("X", "FAKE", "COPY", "VOID", "COPYRIGHT")


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def lens_blur(image: np.ndarray, i: float) -> np.ndarray:
    size = min(101, int(3 + 300 * i)) | 1
    blurred = cv2.GaussianBlur(image.astype(np.float32), (size, size), 20 * i)
    return cv2.addWeighted(image, 1 - 0.7 * i, _bytes(blurred), 0.9 * i, 0)


def lens_flare(image: np.ndarray, i: float) -> np.ndarray:
    height, width = image.shape[:2]
    layer = np.zeros_like(image, dtype=np.float32)
    for _ in range(3 + int(30 * i)):
        x, y, radius = random.randint(0, width), random.randint(0, height), random.randint(10, 50)
        angle, length = random.uniform(0, 2 * math.pi), random.randint(30, 150)
        cv2.circle(layer, (x, y), radius, (255, 255, 235), -1)
        end = (int(x + length * math.cos(angle)), int(y + length * math.sin(angle)))
        cv2.line(layer, (x, y), end, (255, 255, 235), 2)
    layer = cv2.GaussianBlur(layer, (3, 3), 20 * i)
    return _bytes(image.astype(np.float32) + 0.9 * i * layer)


def motion_blur(image: np.ndarray, i: float) -> np.ndarray:
    size = max(5, int(30 * i))
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), random.uniform(0, 360), 1)
    kernel = cv2.warpAffine(np.eye(size), turn, (size, size))
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def dirty_lens(image: np.ndarray, i: float) -> np.ndarray:
    height, width = image.shape[:2]
    layer = np.zeros_like(image, dtype=np.float32)

    def place() -> tuple[int, int]:
        return random.randint(0, width), random.randint(0, height)

    for _ in range(int(10 * i) if i > 0.1 else 0):
        axes = (random.randint(150, 300), random.randint(100, 200))
        cv2.ellipse(layer, place(), axes, random.randint(0, 180), 0, 360, (50, 50, 50), -1)
    for _ in range(int(300 * i)):
        cv2.circle(layer, place(), random.randint(4, 20), (random.randint(50, 100),) * 3, -1)
    for _ in range(int(5 * i) if i > 0.5 else 0):
        centre = place()
        cv2.circle(layer, centre, random.randint(20, 50), (80, 80, 80), -1)
        cv2.circle(layer, centre, random.randint(10, 30), (120, 120, 120), -1)
    layer = cv2.GaussianBlur(layer, (0, 0), 30)
    return cv2.addWeighted(image, 1 - 0.7 * i, _bytes(layer), 0.8 * i, 0)


def hsv_saturation(image: np.ndarray, i: float) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 1] *= 1 - i
    return cv2.cvtColor(_bytes(hsv), cv2.COLOR_HSV2BGR)


def jpeg_compression(image: np.ndarray, i: float) -> np.ndarray:
    quality = min(100, max(5, int(100 - 95 * i)))
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def block_exchange(image: np.ndarray, i: float) -> np.ndarray:
    out, side = image.copy(), min(32, int(5 + 30 * i))
    rows, columns = image.shape[0] // side, image.shape[1] // side
    for _ in range(int(35 * i)):
        (a, b), (c, d) = ((random.randrange(rows) * side, random.randrange(columns) * side) for _ in range(2))
        first = out[a : a + side, b : b + side].copy()
        out[a : a + side, b : b + side] = out[c : c + side, d : d + side]
        out[c : c + side, d : d + side] = first
    return out


def mean_shift(image: np.ndarray, i: float) -> np.ndarray:
    radius = max(1, int(40 * i))
    return cv2.pyrMeanShiftFiltering(image, radius, radius)


def scan_lines(image: np.ndarray, i: float) -> np.ndarray:
    out = image.astype(np.float64)
    for top in range(0, image.shape[0], max(3, int(20 / (i + 0.1)))):
        out[top : top + max(5, int(7 * i))] *= 0.01
    return _bytes(out)


def dark_illumination(image: np.ndarray, i: float) -> np.ndarray:
    return _bytes(image.astype(np.float64) * (1 - i**2))


def atmospheric_turbulence(image: np.ndarray, i: float) -> np.ndarray:
    x, y = np.meshgrid(np.arange(image.shape[1]), np.arange(image.shape[0]))
    sway = 40 * i * np.sin(y / 30 + 5 * i)
    map_x = np.clip(x + sway, 0, image.shape[1] - 1).astype(np.float32)
    map_y = np.clip(y + 0.7 * sway, 0, image.shape[0] - 1).astype(np.float32)
    return cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR)


def gaussian_noise(image: np.ndarray, i: float) -> np.ndarray:
    return _bytes(image.astype(np.float32) + np.random.normal(0, 75 * i, image.shape))


def color_diffusion(image: np.ndarray, i: float) -> np.ndarray:
    line = cv2.getGaussianKernel(3 + 2 * int(20 * i), 50 * i)
    diffused = cv2.filter2D(image.astype(np.float32), -1, np.outer(line, line) * i**2)
    return cv2.addWeighted(image, max(0.1, 1 - 0.9 * i), _bytes(diffused), min(0.9, 0.9 * i), 0)


def sharpness_change(image: np.ndarray, i: float) -> np.ndarray:
    kernel = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32) * 80 * i
    return cv2.addWeighted(image, 0.7, cv2.filter2D(image, -1, kernel), 0.3, 0)


def graffiti(image: np.ndarray, i: float) -> np.ndarray:
    out, (height, width) = image.copy(), image.shape[:2]
    for _ in range(int(10 * i)):
        ends = [(random.randrange(width), random.randrange(height)) for _ in range(2)]
        colour = tuple(random.randint(0, 255) for _ in range(3))
        cv2.line(out, *ends, colour, random.randint(1, max(1, int(5 * i))))
    if i > 0.55:
        text, scale = random.choice((*_WORDS, str(random.randint(1, 100)))), max(0.5, 5 * i)
        (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, int(scale))
        if height > text_height + 20:
            place = (
                random.randint(0, max(1, width - text_width - 10)),
                random.randint(text_height + 10, height - 10),
            )
            cv2.putText(out, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 255), int(scale))
    return out


def watermark_damage(image: np.ndarray, i: float) -> np.ndarray:
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(1 + 15 * i)):
        x, y = random.randint(0, width - 50), random.randint(0, height - 50)
        cv2.rectangle(mask, (x, y), (x + random.randint(50, 200), y + random.randint(20, 80)), 255, -1)
    out = cv2.addWeighted(image, 1 - i, cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA), i, 0)
    if i > 0.5:
        edges = cv2.Canny(mask, 50, 150) > 0
        out[edges] = (out[edges] * 0.8).astype(np.uint8)
    return out


CORRUPTIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    f.__name__: f
    for f in (
        lens_blur,
        lens_flare,
        motion_blur,
        dirty_lens,
        hsv_saturation,
        jpeg_compression,
        block_exchange,
        mean_shift,
        scan_lines,
        dark_illumination,
        atmospheric_turbulence,
        gaussian_noise,
        color_diffusion,
        sharpness_change,
        graffiti,
        watermark_damage,
    )
}


def degrade_cell(cell: str, name: str, intensity: float) -> str:
    """One picture as base64, decoded, corrupted and encoded again."""
    image = cv2.imdecode(np.frombuffer(base64.b64decode(cell), np.uint8), cv2.IMREAD_COLOR)
    degraded = CORRUPTIONS[name](image, intensity)
    return base64.b64encode(cv2.imencode(".jpg", degraded, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]).decode()


def read(path: Path) -> pd.DataFrame:
    """A TSV as the published pipeline reads it."""
    csv.field_size_limit(1 << 30)
    return pd.read_csv(path, sep="\t", engine="python")


def build(source: Path, folder: Path, names: tuple[str, ...] = tuple(CORRUPTIONS)) -> None:
    """Write one TSV for each level of some corruptions of a TSV."""
    table = read(source)
    with ThreadPoolExecutor(THREADS) as pool:
        for name in names:
            for level, intensity in LEVELS.items():
                cells = list(pool.map(lambda cell: degrade_cell(cell, name, intensity), table["image"]))  # noqa: B023
                out = table.copy()
                out["image"] = cells
                out.to_csv(folder / f"{source.stem}_{level}_{name}.tsv", sep="\t", index=False)
