"""The installed OpenCV: its version, and how many threads it uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import cv2

from mmdbench.errors import UsageError

__all__ = ["check_opencv", "single_threaded_opencv"]

_OLDEST = (4, 11)


@cache
def check_opencv() -> None:
    """Raise UsageError if the `cv2` that Python imports is older than 4.11.

    The packages opencv-python, opencv-contrib-python and their headless forms all put their files
    into the same folder: the one installed last is imported, whatever pip lists.
    """
    numbers = tuple(int(part) for part in re.findall("[0-9]+", cv2.__version__)[:2])
    if numbers < _OLDEST:
        raise UsageError(
            f"OpenCV must be 4.11 or later, got {cv2.__version__}, which makes other pixels.",
            hint="Uninstall every opencv package, then: pip install 'opencv-python-headless>=4.11'",
        )


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Keep OpenCV to one thread per caller while several images are processed at once."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
