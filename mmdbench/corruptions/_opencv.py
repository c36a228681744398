"""Which OpenCV is at hand: any package of it will do, but not one too old for the same pixels."""

from __future__ import annotations

import re
from functools import cache

import cv2

from mmdbench.errors import UsageError

__all__ = ["check_opencv"]

_OLDEST = (4, 11)


@cache
def check_opencv() -> None:
    """UsageError if the `cv2` that Python finds is older than 4.11.

    The packages opencv-python, opencv-contrib-python and their headless forms all put their files
    into the same folder: whichever was installed last is found, whatever pip thinks is there.
    """
    numbers = tuple(int(part) for part in re.findall("[0-9]+", cv2.__version__)[:2])
    if numbers < _OLDEST:
        raise UsageError(
            f"OpenCV {cv2.__version__} makes other pixels: 4.11 is the oldest that mmdbench works with.",
            hint="Uninstall every opencv package, then: pip install 'opencv-python-headless>=4.11'",
        )
