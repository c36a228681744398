"""Bound on the pictures that the threads of a process decode or degrade at the same time.

Decoding a picture and degrading it takes up to 55 bytes of memory a pixel, most of them for the blurs, whose
intermediate values are floating-point numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mmdbench.errors import MmdbenchError

__all__ = ["BYTES_PER_PIXEL", "PIXELS_AT_WORK", "PixelBudget", "out_of_memory"]

BYTES_PER_PIXEL = 55
"""The most memory that decoding or degrading a picture takes, in bytes for each of its pixels."""


class PixelBudget:
    """Counter of the pixels at work; threads wait for their turn while there are too many."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pixels = 0

    @contextmanager
    def hold(self, pixels: int, most: int) -> Iterator[None]:
        """Context in which a picture is decoded or degraded; it begins when there is room for the picture.

        A picture never waits while no other is at work, however large it is.

        Args:
            pixels: Width × height of the picture.
            most: The most pixels of all pictures at work.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._pixels or self._pixels + pixels <= most)
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._pixels -= pixels
                self._changed.notify_all()


PIXELS_AT_WORK = PixelBudget()
"""The budget of this process."""


def out_of_memory(where: str, width: int, height: int) -> MmdbenchError:
    """The error for a picture that there is not enough memory for.

    Args:
        where: The place of the picture.
        width: Its width, in pixels.
        height: Its height, in pixels.

    Returns:
        The error; it says what to lower.
    """
    return MmdbenchError(
        f"{where}: not enough memory for a picture of {width}×{height} pixels.",
        hint="Lower --workers, or --max-pixels to leave such pictures out.",
    )
