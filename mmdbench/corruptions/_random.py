"""Random numbers that follow from a key and are the same with every NumPy and on every platform.

Only the raw 64-bit words of PCG64 are used, whose stream NumPy guarantees; the conversion to
numbers is done here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from mmdbench.system.digest import value_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Stream", "normal_indices", "normal_quantiles", "random_bytes"]


class Stream:
    """A stream of random numbers that follows from a key.

    A function in the key is called when the first number is drawn.
    """

    def __init__(self, *key: str | int | Callable[[], int]) -> None:
        self._key = key

    @cached_property
    def _bits(self) -> np.random.PCG64:
        key = [part() if callable(part) else part for part in self._key]
        return np.random.PCG64(int(value_digest(key)[:32], 16))

    def child(self, name: str) -> Stream:
        """An independent stream: drawing from it does not shift the numbers of this one."""
        return Stream(*self._key, name)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high), from the upper 53 bits of one word."""
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included: floor(word · span / 2⁶⁴), one word each.

        One word whatever the span, so that a wider range at a harder level keeps all later draws.
        """
        return low + (int(self._bits.random_raw()) * (high - low + 1) >> 64)

    def word(self) -> int:
        """A seed in 0 .. 2³²−1."""
        return int(self._bits.random_raw()) >> 32


def normal_indices(seed: int, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Independent uniform 16-bit numbers of a shape, four from each raw word, lowest bits first."""
    size = int(np.prod(shape))
    words = np.random.PCG64(seed).random_raw(-(-size // 4))
    sixteenths: NDArray[np.uint16] = words.astype("<u8", copy=False).view("<u2")
    return sixteenths[:size].reshape(shape)


def random_bytes(seed: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Independent uniform bytes of a shape, eight from each raw word, lowest bits first."""
    size = int(np.prod(shape))
    words = np.random.PCG64(seed).random_raw(-(-size // 8))
    eighths: NDArray[np.uint8] = words.astype("<u8", copy=False).view(np.uint8)
    return eighths[:size].reshape(shape)


@lru_cache(maxsize=1)
def normal_quantiles() -> NDArray[np.float64]:
    """The 65,536 quantiles (k + ½)/65536 of the standard normal distribution, ascending.

    Rounded to 2⁻²⁰, so that the last bit of a platform's logarithm does not show. They are
    symmetric about 0, reach ±4.33, and their variance is 0.99997.
    """
    inverse = NormalDist().inv_cdf
    upper = np.array([round(inverse((k + 0.5) / 65536) * 2**20) / 2**20 for k in range(32768, 65536)])
    return np.concatenate([-upper[::-1], upper])
