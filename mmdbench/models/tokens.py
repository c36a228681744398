"""Estimates of the tokens and the cost of a request.

Text counts one token for four characters. Pictures follow the rule of the model card, `images.tokens`:

| rule | a picture is |
|---|---|
| `{ base, per_tile, tile, fit, short }` | cut into tiles, after it fits a square and a shorter side |
| `{ patch, fit, cap, factor }` | cut into patches, after it fits a square and a number of patches (OpenAI) |
| `{ patch, edge, budget }` | cut into patches, after its longer side is the longest within both (Anthropic) |
| `{ patch, min_pixels, max_pixels }` | scaled to whole patches within these areas (Qwen) |

Lengths are in pixels. Estimates are for plans and reservations; reports show the numbers that servers count.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from reprlib import Repr
from typing import Any

from mmdbench.errors import UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.records import NO_USAGE

__all__ = [
    "TYPICAL_OUTPUT",
    "CostEstimate",
    "checked_usage",
    "image_tokens",
    "request_tokens",
    "shown_usage",
    "token_count",
]

TYPICAL_OUTPUT = 60
"""Tokens of a reply of which nothing else is known: a letter and a sentence."""

_MAY_BE_NONE = ("base", "per_tile")  # some models count every picture alike
_UNKNOWN_IMAGE = 1000
_ROUNDING = 1e-9  # a product of whole tokens is not rounded up for a last binary digit
_TEXT_CHARACTERS = 4
_MOST_TOKENS = 10_000_000
_SHOWN = Repr()
_COUNTS = ("prompt", "completion", "cached", "reasoning")
_SHOWN_CHARACTERS = 200


def token_count(value: object) -> int | None:
    """A number of tokens; None for anything that cannot be one: budgets and rates must not follow it.

    >>> [token_count(value) for value in (7, 7.0, -1, 10**400, float("nan"), "7", True, [7])]
    [7, 7, None, None, None, None, None, None]
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_TOKENS:
        return None
    return int(value)


def checked_usage(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Details of a reply whose `usage` holds numbers of tokens alone.

    If one of its own counts is none, or `usage` is no table, it is kept as text under `NO_USAGE`.
    """
    usage = details.get("usage")
    if usage is None:
        return details
    if isinstance(usage, Mapping) and all(
        token_count(usage[name]) is not None for name in _COUNTS if name in usage
    ):
        return details
    rest = {name: value for name, value in details.items() if name != "usage"}
    return {**rest, NO_USAGE: shown_usage(usage)}


def shown_usage(usage: object) -> str:
    """A short text of a value that came in place of numbers of tokens."""
    try:
        text = _SHOWN.repr(usage)
    except ValueError:  # Python writes no number of more than some thousand digits
        text = "a number with too many digits"
    return text[:_SHOWN_CHARACTERS]


def image_tokens(size: tuple[int, int], rule: Mapping[str, Any]) -> int:
    """Tokens of a picture of (width, height) pixels by a card's rule; 1000 without a rule.

    >>> image_tokens((1024, 1024), {"base": 85, "per_tile": 170, "tile": 512})
    765
    >>> image_tokens((1024, 1024), {"patch": 32, "cap": 1536, "factor": 1.62})
    1659
    >>> image_tokens((1800, 2400), {"patch": 32, "cap": 1536})
    1452
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
        count = _within_edge if "budget" in rule else _within_area if "max_pixels" in rule else _within_cap
        return math.ceil(count(width, height, rule) * float(rule.get("factor", 1.0)) - _ROUNDING)
    if rule:
        raise _unreadable(rule)
    return _UNKNOWN_IMAGE


def _patches(width: float, height: float, patch: float) -> int:
    return math.ceil(width / patch) * math.ceil(height / patch)


def _within_cap(width: float, height: float, rule: Mapping[str, Any]) -> int:
    """Patches of a picture that is shrunk to whole patches on one side if it needs more than `cap`."""
    patch = rule["patch"]
    scale = min(1.0, rule.get("fit", math.inf) / max(width, height))
    width, height = round(width * scale), round(height * scale)
    patches = _patches(width, height, patch)
    if patches <= rule.get("cap", patches):
        return patches
    shrink = patch * math.sqrt(rule["cap"] / (width * height))
    across, down = width * shrink / patch, height * shrink / patch
    shrink *= min(math.floor(across) / across, math.floor(down) / down)
    return max(1, _patches(math.floor(width * shrink), math.floor(height * shrink), patch))


def _within_edge(width: float, height: float, rule: Mapping[str, Any]) -> int:
    """Patches of a picture whose longer side is the longest that `edge` and `budget` allow."""
    longer, ratio = max(width, height), min(width, height) / max(width, height)
    sides = range(1, int(min(longer, rule.get("edge", longer))) + 1)

    def patches(side: int) -> int:
        return _patches(side, max(1, round(side * ratio)), rule["patch"])

    return patches(max(1, bisect_right(sides, rule["budget"], key=patches)))


def _within_area(width: float, height: float, rule: Mapping[str, Any]) -> int:
    """Patches of a picture that is scaled to whole patches, in `min_pixels` to `max_pixels`."""
    patch, fewest, most = (float(rule.get(name, 0)) for name in ("patch", "min_pixels", "max_pixels"))
    across, down = (round(side / patch) for side in (width, height))
    if across * down * patch**2 > most:
        shrink = math.sqrt(width * height / most)
        across, down = (max(1, math.floor(side / shrink / patch)) for side in (width, height))
    elif across * down * patch**2 < fewest:
        grow = math.sqrt(fewest / (width * height))
        across, down = (math.ceil(side * grow / patch) for side in (width, height))
    return max(1, across * down)


def _is_number(name: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value > 0 or (value == 0 and name in _MAY_BE_NONE)


def _unreadable(rule: object) -> UsageError:
    return UsageError(
        f"Cannot read the image tokens {rule!r} of the model card.",
        hint="Write { base, per_tile, tile }, { patch, cap, factor }, { patch, edge, budget } or "
        "{ patch, min_pixels, max_pixels }, with numbers above 0.",
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
        read, written = token_count(usage.get("prompt")), token_count(usage.get("completion", 0))
        if read is None or written is None:
            return self.read + self.written, None
        self.counted += 1
        weight = 1 / min(self.counted, 200)
        self.read += (read - self.read) * weight
        self.written += (written - self.written) * weight
        price, cached = self.card.price, token_count(usage.get("cached")) or 0
        return read + written, price.usd(read, written, min(read, cached)) if price else None


def _scaled(width: int, height: int, rule: Mapping[str, Any]) -> tuple[int, int]:
    # Tiling models first fit a picture into a square, then shrink its shorter side.
    scale = min(1.0, rule.get("fit", 2048) / max(width, height))
    scale *= min(1.0, rule.get("short", 768) / (min(width, height) * scale))
    return round(width * scale), round(height * scale)
