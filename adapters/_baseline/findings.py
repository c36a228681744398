"""The findings of detector, text reader and colour statistics for one picture, each on first use."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .colour import name_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .detector import DetectedObject
    from .reader import Line

__all__ = ["Findings"]

_THUMBNAIL = 160


class Findings:
    """Detected objects, lines of text and colours of one picture; each is computed once, by any thread."""

    def __init__(
        self,
        pixels: Callable[[], NDArray[np.uint8]],
        detect: Callable[[NDArray[np.uint8]], tuple[DetectedObject, ...]],
        read: Callable[[NDArray[np.uint8]], tuple[Line, ...]],
    ) -> None:
        """Set up findings without computing any.

        Args:
            pixels: Returns the H×W×3 uint8 RGB picture; called for each finding, so that a cached
                object holds no large array.
            detect: Detects objects.
            read: Reads lines of text.
        """
        self._pixels, self._detect, self._read = pixels, detect, read
        self._lock = threading.RLock()
        self._objects: tuple[DetectedObject, ...] | None = None
        self._lines: tuple[Line, ...] | None = None
        self._small: NDArray[np.uint8] | None = None
        self._names: NDArray[np.int8] | None = None

    def check(self) -> None:
        """Raise the error of a picture that cannot be decoded, also for questions that do not need it."""
        _ = self.small

    @property
    def objects(self) -> tuple[DetectedObject, ...]:
        """The detected objects, highest score first."""
        with self._lock:
            if self._objects is None:
                self._objects = self._detect(self._pixels())
            return self._objects

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of text, from top to bottom."""
        with self._lock:
            if self._lines is None:
                self._lines = self._read(self._pixels())
            return self._lines

    @property
    def small(self) -> NDArray[np.uint8]:
        """The picture reduced to at most 160 pixels a side, averaged over areas."""
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
