"""A model of your own in one file: here one that says yes to bright pictures. Name it in models.toml:

    [my-model]
    adapter = "own_model.py"
    options = { threshold = 100 }

and run `mmdbench eval --model my-model --model-card models.toml --bench mini`. Put your network where the
brightness is.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageStat

from mmdbench.models import ModelCard
from mmdbench.records import Outcome, Request


class MyModel:
    """Answers the first option for bright pictures, the last one for dark ones."""

    batch_size = 8

    def __init__(self, threshold: float = 128.0) -> None:
        self.threshold = threshold

    def fingerprint(self) -> Mapping[str, Any]:
        """Everything that could change a reply; for a network, a digest of its weights too."""
        return {"model": "brightness", "version": "1", "threshold": self.threshold}

    def generate(self, requests: Sequence[Request]) -> list[Outcome]:
        """Answer a batch, one outcome for each request and in their order."""
        return [self.answer(request) for request in requests]

    def answer(self, request: Request) -> Outcome:
        """Look at the first picture; the text that a network would read is `request.prompt`."""
        labels = list(request.options)
        if not labels or not request.images:
            return Outcome("", status="empty", reason="needs options and a picture")
        with Image.open(io.BytesIO(request.images[0].data)) as image:
            mean = ImageStat.Stat(image.convert("L")).mean[0]
        return Outcome(labels[0] if mean > self.threshold else labels[-1], details={"mean": round(mean, 1)})


def load(card: ModelCard) -> MyModel:
    """Make the model of a card; `card.options` are those of models.toml."""
    return MyModel(**card.options)
