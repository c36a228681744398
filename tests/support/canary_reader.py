"""A server's answer function that reads the canary's pictures."""

from __future__ import annotations

import hashlib
import io
from functools import cache

import numpy as np
from PIL import Image

from mmdbench.run.canary import make_probes

EXIF_FOLDER, UNIQUE_ID = 0x8769, 0xA420


def opened(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.getexif(), np.asarray(image.convert("RGB"))


@cache
def truth():
    """(shape, pixels) → the digits in the picture."""
    return {sight(probe.image.data): probe.shows for probe in make_probes()}


def sight(data):
    pixels = opened(data)[1]
    return pixels.shape, hashlib.sha256(pixels.tobytes()).hexdigest()


def answering(cache_key=None, eyes=None):
    """A server's answer function that reads pictures, through a cache whose key may be wrong."""
    known, cache = eyes or truth(), {}

    def answer(prompt, images):
        (data,) = images
        shows = known.get(sight(data), "nothing I know")
        return shows if cache_key is None else cache.setdefault(cache_key(prompt, data), shows)

    return answer
