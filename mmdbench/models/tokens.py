"""Estimates of the tokens and the cost of a request.

Text counts one token for four characters. Pictures follow the rule of the model card:
`{ base, per_tile, tile }` for models that cut a picture into tiles, `{ patch, cap, factor }` for
those that cut it into patches. Estimates are for plans and reservations; reports show the numbers that
servers count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmdbench.errors import UsageError
from mmdbench.models.cards import ModelCard

__all__ = ["TYPICAL_OUTPUT", "CostEstimate", "image_tokens", "request_tokens"]

TYPICAL_OUTPUT = 60
"""Tokens of a reply of which nothing else is known: a letter and a sentence."""

_MAY_BE_NONE = ("base", "per_tile")  # some models count every picture alike
_UNKNOWN_IMAGE = 1000
_TEXT_CHARACTERS = 4


def image_tokens(size: tuple[int, int], rule: Mapping[str, Any]) -> int:
    """Tokens of a picture of (width, height) pixels by a card's rule; 1000 without a rule.

    >>> image_tokens((1024, 1024), {"base": 85, "per_tile": 170, "tile": 512})
    765
    >>> image_tokens((1024, 1024), {"patch": 32, "cap": 1536, "factor": 1.62})
    1659
    """
    width, height = size
    if not isinstance(rule, Mapping) or not all(_is_number(name, value) for name, value in rule.items()):
        raise _unreadable(rule)
    if "per_tile" in rule:
        width, height = _scaled(width, height, rule)
        tile = rule.get("tile", 512)
        tiles = math.ceil(width / tile) * math.ceil(height / tile)
        return int(rule.get("base", 0) + rule["per_tile"] * tiles)
    if "patch" in rule:
        patches = math.ceil(width / rule["patch"]) * math.ceil(height / rule["patch"])
        return int(min(patches, rule.get("cap", patches)) * rule.get("factor", 1.0) + 0.5)
    if rule:
        raise _unreadable(rule)
    return _UNKNOWN_IMAGE


def _is_number(name: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value > 0 or (value == 0 and name in _MAY_BE_NONE)


def _unreadable(rule: object) -> UsageError:
    return UsageError(
        f"Cannot read the image tokens {rule!r} of the model card.",
        hint="Write { base, per_tile, tile } or { patch, cap, factor }, with numbers above 0.",
    )


def request_tokens(prompt: str, sizes: Iterable[tuple[int, int]], card: ModelCard) -> int:
    """The estimated number of tokens read for a request.

    Args:
        prompt: The prompt.
        sizes: Width and height of each picture in pixels.
        card: The model card, whose `images.tokens` is the rule for pictures.

    Returns:
        Tokens.
    """
    rule = card.images.get("tokens", {})
    return len(prompt) // _TEXT_CHARACTERS + 10 + sum(image_tokens(size, rule) for size in sizes)


@dataclass
class CostEstimate:
    """Estimate of a request's cost: from its size at first, then the mean of the counted requests."""

    card: ModelCard
    read: float = 0.0
    written: float = float(TYPICAL_OUTPUT)
    counted: int = 0

    def expect(self, prompt: str, sizes: Iterable[tuple[int, int]]) -> tuple[float, float]:
        """Tokens (read and written) and US dollars of the next request."""
        if not self.counted:
            self.read = float(request_tokens(prompt, sizes, self.card))
        usd = self.card.price.usd(round(self.read), round(self.written)) if self.card.price else 0.0
        return self.read + self.written, usd

    def update(self, usage: Mapping[str, Any]) -> tuple[float, float | None]:
        """Update the means with a server's count; returns its tokens and their price, None if unknown."""
        if "prompt" not in usage:
            return self.read + self.written, None
        read, written = int(usage["prompt"]), int(usage.get("completion", 0))
        self.counted += 1
        weight = 1 / min(self.counted, 200)
        self.read += (read - self.read) * weight
        self.written += (written - self.written) * weight
        price = self.card.price
        return read + written, price.usd(read, written, int(usage.get("cached", 0))) if price else None


def _scaled(width: int, height: int, rule: Mapping[str, Any]) -> tuple[int, int]:
    # Tiling models first fit a picture into a square, then shrink its shorter side.
    scale = min(1.0, rule.get("fit", 2048) / max(width, height))
    scale *= min(1.0, rule.get("short", 768) / (min(width, height) * scale))
    return round(width * scale), round(height * scale)
