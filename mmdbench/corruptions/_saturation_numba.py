"""The loop of `_saturation` in numba, twice as fast; importing this module imports numba."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdbench.corruptions._compiling import compiled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["keep_shares"]


@compiled
def keep_shares(hsv: NDArray[np.uint8], shares: NDArray[np.float32]) -> None:
    """Replace each pixel of N×3 HSV by RGB: V times the share that each channel keeps, truncated."""
    for k in range(hsv.shape[0]):
        index, value = hsv[k, 0] * 256 + hsv[k, 1], hsv[k, 2]
        for channel in range(3):
            hsv[k, channel] = int(shares[channel, index] * value)
