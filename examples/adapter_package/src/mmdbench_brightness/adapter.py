"""A model that answers by the brightness of the picture: a complete adapter in forty lines."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageStat

from mmdbench.models import ModelCard
from mmdbench.records import Outcome, Request

VERSION = "1"


@dataclass(frozen=True, slots=True)
class Brightness:
    """Picks an option by brightness: the first for a black picture, the last for a white one."""

    darkest: float = 0.0
    batch_size: int = 4

    def fingerprint(self) -> Mapping[str, Any]:
        """Everything that could change an answer: it becomes part of every stored reply's key."""
        return {"adapter": "brightness", "version": VERSION, "darkest": self.darkest}

    def generate(self, requests: Sequence[Request]) -> list[Outcome]:
        """One outcome for each request, in their order; a failure is a status."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Outcome:
        labels = list(request.options)
        if not labels or not request.images:
            return Outcome("", status="empty", reason="needs options and a picture")
        with Image.open(io.BytesIO(request.images[0].data)) as image:
            bright = ImageStat.Stat(image.convert("L")).mean[0] / 256
        place = max(0.0, bright - self.darkest) / (1 - self.darkest)
        return Outcome(labels[int(place * len(labels))], details={"brightness": bright})


def load(card: ModelCard) -> Brightness:
    """Called with the model card when the model is used for the first time; heavy imports belong here."""
    return Brightness(**card.options)
