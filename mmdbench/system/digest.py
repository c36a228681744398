"""Digests of values and of pixels, and the seeds derived from them.

Equal values give equal digests on every machine: JSON is written with sorted keys,
no spaces and as UTF-8; pixels are hashed with their shape and dtype in front.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "bytes_digest",
    "canonical_json",
    "derive_seed",
    "file_hash",
    "pixel_digest",
    "value_digest",
    "with_digest",
    "without_digest",
]


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


def file_hash(path: Path, algorithm: str) -> str:
    """The hash of a file's bytes, read in pieces, as hexadecimal digits. Raises DataError."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    return digest.hexdigest()


def with_digest(record: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON-able record with a last field `digest`, which is that of the others.

    >>> without_digest(with_digest({"a": 1}))
    {'a': 1}
    """
    return {**record, "digest": _record_digest(json.loads(json.dumps(record)))}


def without_digest(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without its digest, if it has one. Raises ValueError if the others do not match it."""
    made = dict(record)
    digest = made.pop("digest", None)
    if digest is not None and digest != _record_digest(made):
        raise ValueError("it does not match its digest, so it was changed")
    return made


def _record_digest(record: Mapping[str, Any]) -> str:
    # Not the canonical form, which refuses the infinities that a model card may hold.
    return bytes_digest(json.dumps(record, sort_keys=True).encode())


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
