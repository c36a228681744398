"""Bound on the encoded pictures that the requests in flight of one event loop hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmdbench.run.plan import Planned

__all__ = ["MOST_BYTES", "BytesInFlight"]

MOST_BYTES = 500_000_000
"""From here on no further request is made; sending takes up to four times that.

A thousand photographs have 85 million.
"""

_BYTES_PER_PIXEL = 3  # of a picture that no codec can make smaller


class BytesInFlight:
    """Counter of the bytes of pictures in flight.

    Args:
        most: From here on further requests wait.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._bytes = 0
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Wait until there is room; a request is then to be held before anything else is waited for."""
        while self._bytes >= self._most:
            self._changed.clear()
            await self._changed.wait()

    @contextmanager
    def hold(self, planned: Planned) -> Iterator[Callable[[int], None]]:
        """Context in which a request is made and sent.

        Args:
            planned: The request; its pictures count by their pixels until their bytes are known.

        Yields:
            A function that takes the number of bytes when they are known.
        """
        held = _BYTES_PER_PIXEL * sum(width * height for width, height in planned.sizes)
        self._bytes += held

        def correct(found: int) -> None:
            nonlocal held
            self._bytes += found - held
            held = found
            self._changed.set()

        try:
            yield correct
        finally:
            correct(0)
