"""A server's answer function that reads the canary's pictures."""

from __future__ import annotations

import hashlib
import io
from functools import cache

import cv2
import numpy as np
from PIL import Image

EXIF_FOLDER, UNIQUE_ID = 0x8769, 0xA420
GLYPH = (20, 30)
SPECK = 50  # pixels


def opened(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.getexif(), np.asarray(image.convert("RGB"))


def read(data):
    """The digits in a picture from left to right, `none` in one without ink."""
    ink = (opened(data)[1].min(axis=2) < 128).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(ink)
    found = sorted(tuple(box[:4]) for box in boxes[1:] if box[4] > SPECK)
    return "".join(nearest(ink[y : y + h, x : x + w]) for x, y, w, h in found) or "none"


def nearest(glyph):
    seen = cv2.resize(glyph * 255, GLYPH).astype(np.float32)
    return min(glyphs(), key=lambda digit: float(np.abs(seen - glyphs()[digit]).sum()))


@cache
def glyphs():
    made = {}
    for digit in "0123456789":
        paper = np.zeros((200, 200), np.uint8)
        cv2.putText(paper, digit, (40, 160), cv2.FONT_HERSHEY_SIMPLEX, 3.0, 255, 8, cv2.LINE_AA)
        x, y, w, h = cv2.boundingRect((paper > 128).astype(np.uint8))
        made[digit] = cv2.resize((paper[y : y + h, x : x + w] > 128) * np.uint8(255), GLYPH).astype(
            np.float32
        )
    return made


def key_of(bits):
    """A cache's key: the first bits of a hash of the picture."""
    return lambda prompt, data: int(hashlib.sha256(data).hexdigest()[:8], 16) >> (32 - bits)


def answering(cache_key=None, reads=read):
    """A server's answer function that reads pictures, through a cache whose key may be wrong."""
    cache = {}

    def answer(prompt, images):
        (data,) = images
        if cache_key is None:
            return reads(data)
        key = cache_key(prompt, data)
        if key not in cache:
            cache[key] = reads(data)
        return cache[key]

    return answer
