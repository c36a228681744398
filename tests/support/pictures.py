"""Small pictures and benchmarks that tests make."""

from __future__ import annotations

import base64
import csv
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A small RGB picture with areas, edges and texture, another one for each seed."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = 127 + 90 * np.sin(x[..., None] / (5 + seed % 3) + y[..., None] / 9 + np.arange(3) * 2 + seed)
    return np.clip(base + rng.normal(0, 8, base.shape), 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """The picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_many(path: Path, rows: int) -> Path:
    """A benchmark of small pictures, one for each question."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["index", "question", "A", "B", "C", "D", "answer", "image"])
        for i in range(rows):
            image = base64.b64encode(png(picture(i, 8, 12))).decode()
            writer.writerow([i, f"Question {i}?", "red", "green", "blue", "grey", "ABCD"[i % 4], image])
    return path


def damaged_pages(pixels: np.ndarray) -> bytes:
    """A TIFF of two pages, whose second one has no size."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.save(buffer, "TIFF", save_all=True, append_images=[image])
    data = bytearray(buffer.getvalue())
    first = struct.unpack_from("<I", data, 4)[0]
    (entries,) = struct.unpack_from("<H", data, first)
    (second,) = struct.unpack_from("<I", data, first + 2 + 12 * entries)
    struct.pack_into("<H", data, second, 0)
    return bytes(data)


def tiled_tiff(side: int, tile_side: int, tile: bytes) -> bytes:
    """A TIFF of one RGB tile, which may be larger than the picture."""
    packed, names = zlib.compress(tile), (256, 257, 258, 259, 262, 277, 322, 323, 324, 325)
    bits_at = 8 + 2 + 12 * len(names) + 4
    values = (side, side, bits_at, 8, 2, 3, tile_side, tile_side, bits_at + 6, len(packed))
    counts = [3 if name == 258 else 1 for name in names]
    kinds = [3 if name == 258 else 4 for name in names]
    entries = [struct.pack("<HHII", *entry) for entry in zip(names, kinds, counts, values, strict=True)]
    head = b"II*\0" + struct.pack("<IH", 8, len(names))
    return head + b"".join(entries) + struct.pack("<IHHH", 0, 8, 8, 8) + packed
