"""Drawing that several corruptions of this package could share; a change of it is a change of their code."""

from __future__ import annotations

import numpy as np

from mmdbench.corruptions.definition import Image


def brightened(image: Image, mask: np.ndarray, gain: float) -> Image:
    """The picture (H×W×3, uint8), nearer to white by `gain` (0 to 1) where the mask (H×W, bool) is true."""
    made = image.copy()
    made[mask] = np.rint(image[mask] + (255.0 - image[mask]) * gain).astype(np.uint8)
    return made
