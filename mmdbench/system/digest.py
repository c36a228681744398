"""Digests of values and of pixels, and the seeds derived from them.

Equal values give equal digests on every machine: JSON is written with sorted keys,
no spaces and as UTF-8; pixels are hashed with their shape and dtype in front.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["bytes_digest", "canonical_json", "derive_seed", "pixel_digest", "value_digest"]


# Made once: `json.dumps` makes a new encoder in every call that has settings.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """The canonical JSON text of a value. Raises ValueError for NaN and infinities.

    >>> canonical_json({"b": 1, "a": [True, None, "é"]})
    '{"a":[true,null,"é"],"b":1}'
    """
    return _CANONICAL.encode(value)


def value_digest(value: Any) -> str:
    """SHA-256, as 64 hexadecimal digits, of a JSON-able value's canonical form."""
    return bytes_digest(canonical_json(value).encode("utf-8", "surrogatepass"))


def bytes_digest(data: bytes) -> str:
    """SHA-256, as 64 hexadecimal digits, of bytes."""
    return hashlib.sha256(data).hexdigest()


def pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of an image's shape, dtype and bytes (H×W or H×W×C, row-major, RGB order).

    Two images with the same bytes and different shapes have different digests.
    """
    import numpy as np

    head = canonical_json([list(pixels.shape), str(pixels.dtype)]).encode()
    digest = hashlib.sha256(head + b"\n")
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def derive_seed(*parts: Any) -> int:
    """A seed in 0 .. 2³²−1 that depends on the parts alone, which are JSON-able.

    >>> derive_seed("image", "motion_blur", 0) == derive_seed("image", "motion_blur", 0)
    True
    """
    return int(value_digest(list(parts))[:8], 16)
