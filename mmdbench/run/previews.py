"""Previews: small copies of the pictures that a run showed, kept in its folder for pages.

A preview's name holds a digest of the pixels that it is of, with the format of previews, and a seal: a digest
of that name and of the preview's bytes, keyed by a secret of this user. A file that is damaged, has the name
of another one or was made by somebody else is therefore not used. Previews can be removed at any time. They
are no part of a run: nothing compares, merges or uploads them, and a run's digests do not cover them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mmdbench.errors import MmdbenchError
from mmdbench.records import Variant
from mmdbench.run.folder import PREVIEWS
from mmdbench.system.digest import bytes_digest
from mmdbench.system.environment import cache_folder
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.system.images import NO_LIMIT, decode_image
from mmdbench.system.inner_paths import inner_path
from mmdbench.system.unfinished_files import unfinished_file
from mmdbench.variants.codec import decode_encoded
from mmdbench.variants.recipes import RELEASED, SOURCE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PREVIEW", "SHARE_OF_TIME", "PreviewFolder", "PreviewFormat", "PreviewsBeside", "make_preview"]

_KEY_FILE = "previews.key"
_SECRET_BYTES = 32
_SECRETS_LOCK = threading.Lock()
_NAME = re.compile(r"([0-9a-f]{32})-([0-9a-f]{32})\.webp")
_LARGEST = 1_000_000  # bytes; a preview has about 15,000
_MOST_OF_A_RUN = 2000
_SECONDS_EACH = 0.01  # until the first is made

SHARE_OF_TIME = 0.02
"""Share of its time that a run spends on previews at the most."""


@dataclass(frozen=True, slots=True)
class PreviewFormat:
    """Size and quality of small pictures: the longer side in pixels, and the WebP quality (1..100)."""

    side: int
    quality: int


PREVIEW = PreviewFormat(384, 62)
"""The format of previews, the largest in which a page shows pictures."""


def make_preview(pixels: NDArray[np.uint8], shape: PreviewFormat = PREVIEW) -> bytes:
    """RGB pixels (H×W×3, uint8) as a WebP whose longer side is at most `shape.side`."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((shape.side, shape.side), Image.Resampling.HAMMING, reducing_gap=None)
    buffer = io.BytesIO()
    # Method 2 takes half the time of 4, the default, for 4 % more bytes.
    image.save(buffer, "WEBP", quality=shape.quality, method=2)
    return buffer.getvalue()


class PreviewFolder:
    """The previews of a run, by the digests of the pixels that they are of.

    Args:
        run: The run's folder; None for no folder, which keeps nothing.
    """

    def __init__(self, run: Path | None) -> None:
        self._run = run

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, pixels: str) -> bool:
        return _key(pixels) in self._names

    def get(self, pixels: str) -> bytes | None:
        """The preview of the pixels with this digest; None if there is none that is whole."""
        key, run = _key(pixels), self._run
        name = self._names.get(key)
        if run is None or not pixels or name is None:
            return None
        try:
            path = inner_path(run, f"{PREVIEWS}/{name}", "a list of previews")
            data = path.read_bytes() if path.is_file() and path.stat().st_size <= _LARGEST else b""
            return data if name == self._file_name(key, data) else None
        except (OSError, MmdbenchError):
            return None

    def put(self, pixels: str, preview: bytes) -> None:
        """Keep a preview; where the folder cannot be written, nothing is kept from then on."""
        run = self._run
        if run is None or not pixels:
            return
        key = _key(pixels)
        try:
            name = self._file_name(key, preview)
            path = inner_path(run, f"{PREVIEWS}/{name}", "a list of previews")
            path.parent.mkdir(exist_ok=True)
            # Not flushed to the disk: a preview that a power cut damages is made anew.
            with unfinished_file(path) as part:
                part.write_bytes(preview)
                part.replace(path)
        except (OSError, MmdbenchError):
            self._run = None
            return
        damaged = self._names.get(key, name)
        self._names[key] = name
        if damaged != name:
            with contextlib.suppress(OSError):
                path.with_name(damaged).unlink()

    def _file_name(self, key: str, data: bytes) -> str:
        secret = _secret(cache_folder() / _KEY_FILE)
        seal = hashlib.blake2b(key.encode() + data, key=secret, digest_size=16).hexdigest()
        return f"{key}-{seal}.webp"

    @cached_property
    def _names(self) -> dict[str, str]:
        if self._run is None:
            return {}
        try:
            names = [path.name for path in (self._run / PREVIEWS).iterdir()]
        except OSError:
            return {}
        return {match[1]: match[0] for match in map(_NAME.fullmatch, names) if match}


@dataclass
class PreviewsBeside:
    """Previews that a run leaves while it asks, of 2000 pictures at most and in 2 % of its time.

    The time is that of the threads that make pictures: a run that takes longer for an answer than for a
    picture has time for all its previews, and a page makes those that are missing.
    """

    folder: PreviewFolder
    threads: int = 1
    clock: Callable[[], float] = time.monotonic
    _spent: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._each = _SECONDS_EACH

    def leave(self, variants: Sequence[Variant]) -> None:
        """Make and keep the previews of pictures that were just made, if there is time."""
        for variant in variants:
            elapsed = (self.clock() - self._began) * self.threads
            if self._spent + self._each > SHARE_OF_TIME * elapsed or len(self.folder) >= _MOST_OF_A_RUN:
                return
            # A page shows what the recipe made, not what a restorer made of that.
            if not variant.restored and variant.pixels not in self.folder:
                began = self.clock()
                with contextlib.suppress(MmdbenchError):
                    self.folder.put(variant.pixels, make_preview(_pixels(variant)))
                self._each = self.clock() - began
                self._spent += self._each


def _pixels(variant: Variant) -> NDArray[np.uint8]:
    if variant.recipe.codec in (SOURCE, RELEASED):
        return decode_image(variant.image.data, "a picture just read", max_pixels=NO_LIMIT)
    return decode_encoded(variant.image)


def _key(pixels: str) -> str:
    text = f"1 {pixels} {PREVIEW.side} {PREVIEW.quality}"
    return bytes_digest(text.encode("utf-8", "surrogatepass"))[:32]


def _secret(path: Path) -> bytes:
    """The secret of this user's seals, made by the first call. Raises StoreError where it cannot be kept."""
    with _SECRETS_LOCK:  # of two threads, one makes it
        return _kept_secret(path)


@cache
def _kept_secret(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        found = path.read_bytes()
        if len(found) == _SECRET_BYTES:
            return found
    write_atomic(make_folder(path.parent) / path.name, secrets.token_bytes(_SECRET_BYTES))
    path.chmod(0o600)
    return path.read_bytes()  # of two processes, the later one's
