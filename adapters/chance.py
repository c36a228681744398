"""A model that guesses: the floor to compare every score with.

It picks an option by a hash of the question and of the image's bytes, so that its answers
are repeatable and differ from image to image.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmdbench.models.cards import ModelCard
from mmdbench.records import Outcome, Request
from mmdbench.system.digest import bytes_digest, derive_seed

ADAPTER_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Chance:
    """Guesses, and waits `seconds` before each answer."""

    seconds: float = 0.0

    def fingerprint(self) -> Mapping[str, Any]:
        """The adapter's name and version, which alone its guesses depend on."""
        return {"adapter": "chance", "version": ADAPTER_VERSION}

    def generate(self, requests: Sequence[Request]) -> list[Outcome]:
        """Guess for each request; a question without options gets an empty outcome."""
        return [self._guess(request) for request in requests]

    def _guess(self, request: Request) -> Outcome:
        time.sleep(self.seconds)
        labels = list(request.options)
        if not labels:
            return Outcome("", status="empty", reason="there are no options to guess from")
        seen = [bytes_digest(image.data) for image in request.images]
        return Outcome(labels[derive_seed(request.prompt, seen) % len(labels)])


def load(card: ModelCard) -> Chance:
    """The guesser; the card's options may set `seconds`."""
    return Chance(**card.options)
