"""The work of a worker, in any engine: it opens the model of a card, makes variants and asks.

Requests hold their encoded clean images, so that a worker on another machine needs no benchmark file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from mmdbench.corruptions.plugins import places_of, use_corruption
from mmdbench.errors import MmdbenchError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.models.registry import Model, check_model, is_async, open_model
from mmdbench.records import ImageSource, Outcome, Question, Reply, Variant
from mmdbench.run.batch_driver import BatchDriver
from mmdbench.run.engines.pool import ModelFacts
from mmdbench.run.plan import Planned, worded_prompt
from mmdbench.run.prefetch import CleanImageCache, make_variants
from mmdbench.run.replies import image_error_reply, make_reply

__all__ = [
    "MAX_EXITS_PER_REQUEST",
    "EncodedImage",
    "Made",
    "OpenedModel",
    "exit_reply",
    "make",
    "with_images",
]

MAX_EXITS_PER_REQUEST = 3
"""Exits of workers with the same request in flight after which the request is stored as an error."""

Made = tuple[Planned, "list[Variant] | MmdbenchError"]
"""A planned cell and its variants, or the error of making them."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image source that holds its encoded bytes."""

    where: str
    data: bytes

    def read(self) -> bytes:
        """The encoded image."""
        return self.data


def with_images(requests: Sequence[Planned]) -> list[Planned]:
    """The requests as another process needs them: with their encoded images, each read once.

    Raises the errors of reading them.
    """
    known: dict[int, EncodedImage] = {}

    def encoded(source: ImageSource) -> EncodedImage:
        if id(source) not in known:
            known[id(source)] = EncodedImage(source.where, source.read())
        return known[id(source)]

    return [
        replace(
            planned,
            images=tuple(map(encoded, planned.images)),
            places=places_of([planned.cell.corruption or ""]),
        )
        for planned in requests
    ]


def make(planned: Planned, images: CleanImageCache) -> Made:
    """A planned cell with its variants, or with the error of making them."""
    try:
        for place in planned.places:
            use_corruption(place)
        return planned, make_variants(planned, images)
    except MmdbenchError as error:
        return planned, error


@dataclass
class OpenedModel:
    """A model opened from its card in a worker. Raises the errors of opening it."""

    card: ModelCard
    model: Model = field(init=False)

    def __post_init__(self) -> None:
        model = open_model(self.card)
        if is_async(model):
            raise UsageError(
                f"{self.card.name} is behind a server, which one process can ask many requests at once.",
                hint="Leave out --engine, --gpus and --processes; set --concurrency.",
            )
        check_model(model)
        self.model = cast("Model", model)
        self._replies: list[Reply] = []
        self._driver = BatchDriver(self.model, self.card, self._replies.append)

    def facts(self) -> ModelFacts:
        """The facts that planning needs."""
        rewords = getattr(self.model, "prompt", None) is not None
        return ModelFacts(dict(self.model.fingerprint()), self.batch_size, rewords)

    @property
    def batch_size(self) -> int:
        """The number of requests that the model takes at once."""
        return self._driver.batch_size

    def prompt(self, question: Question, default: str) -> str:
        """The prompt as the model words it."""
        return worded_prompt(self.model, question, default)

    def ask(self, batch: Sequence[Made]) -> tuple[list[Reply], MmdbenchError | None]:
        """The replies to some requests, and the error that ends the run, if there is one."""
        self._replies.clear()
        ready = []
        for planned, variants in batch:
            if isinstance(variants, MmdbenchError):
                self._replies.append(image_error_reply(planned, variants))
            else:
                ready.append((planned, variants))
        try:
            while ready:
                size = self.batch_size  # it may have become smaller, after a batch that did not fit
                self._driver.ask(ready[:size])
                ready = ready[size:]
        except MmdbenchError as error:
            return list(self._replies), error
        return list(self._replies), None


def exit_reply(planned: Planned, reason: str) -> Reply:
    """The reply that is stored for a request whose workers all exited; `reason` is that of the last exit."""
    text = f"the worker that asked it exited {MAX_EXITS_PER_REQUEST} times ({reason})"
    return make_reply(planned, [], Outcome("", "error", text), attempts=MAX_EXITS_PER_REQUEST)
