"""All that the demonstration model knows of one picture, found out when it is first asked for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .colour import name_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .detector import Thing
    from .reader import Line

__all__ = ["Sight"]

_THUMBNAIL = 160


class Sight:
    """One picture's detected things, lines of text and colours; each is found once, whatever the thread.

    `pixels` gives the H×W×3 uint8 RGB picture; it is called again for each finding, so that a
    remembered `Sight` holds no large array.
    """

    def __init__(
        self,
        pixels: Callable[[], NDArray[np.uint8]],
        detect: Callable[[NDArray[np.uint8]], tuple[Thing, ...]],
        read: Callable[[NDArray[np.uint8]], tuple[Line, ...]],
    ) -> None:
        self._pixels, self._detect, self._read = pixels, detect, read
        self._lock = threading.RLock()
        self._things: tuple[Thing, ...] | None = None
        self._lines: tuple[Line, ...] | None = None
        self._small: NDArray[np.uint8] | None = None
        self._names: NDArray[np.int8] | None = None

    def check(self) -> None:
        """Fail now if the picture cannot be decoded, and not only for questions that look at it."""
        _ = self.small

    @property
    def things(self) -> tuple[Thing, ...]:
        """What the detector finds, surest first."""
        with self._lock:
            if self._things is None:
                self._things = self._detect(self._pixels())
            return self._things

    @property
    def lines(self) -> tuple[Line, ...]:
        """What the reader reads, from top to bottom."""
        with self._lock:
            if self._lines is None:
                self._lines = self._read(self._pixels())
            return self._lines

    @property
    def small(self) -> NDArray[np.uint8]:
        """The picture at 160 pixels at most, averaged over areas."""
        with self._lock:
            if self._small is None:
                image = self._pixels()
                height, width = image.shape[:2]
                ratio = min(1.0, _THUMBNAIL / max(height, width))
                size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
                self._small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
            return self._small

    @property
    def names(self) -> NDArray[np.int8]:
        """The colour name of each pixel of `small`."""
        with self._lock:
            if self._names is None:
                self._names = name_pixels(self.small)
            return self._names
