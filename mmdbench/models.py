"""Models under test: the protocols an adapter fulfils, and the lazy registry.

An adapter is a module that is registered under the entry-point group `mmdbench.adapters`
and has a function `load(card) -> Model` (or AsyncModel). mmdbench's own adapters take the same
road. What a card is stands in `mmdbench.cards`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from inspect import iscoroutinefunction
from typing import Any, Protocol, TypeGuard, cast

from mmdbench.cards import ModelCard, find_card, known_cards, shipped_cards
from mmdbench.errors import MmdbenchError, ModelError, UnknownNameError
from mmdbench.records import Outcome, Request

__all__ = [
    "AsyncModel",
    "Model",
    "ModelCard",
    "adapter_names",
    "find_card",
    "is_async",
    "known_cards",
    "open_model",
    "shipped_cards",
]

ENTRY_POINTS = "mmdbench.adapters"


class Model(Protocol):
    """A model that can be asked.

    An adapter may also have `batch_size` (how many requests it likes at once, default 1),
    `prompt(question, default) -> str` (another wording than the benchmark's; it is recorded) and
    `check()` (raises an MmdbenchError if it cannot be asked, before anything long starts).
    """

    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able: everything about the model that could change a reply, weights included."""
        ...

    def generate(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Answer the requests, one outcome each and in their order."""
        ...


class AsyncModel(Protocol):
    """A model behind a server: many requests are under way at once, each in a coroutine of its own.

    It may have what a Model may have, but `batch_size`; further `throttle` (a ThrottleSettings
    that bounds concurrency, rates and attempts) and `aclose()` (a coroutine that ends its
    connections; it can be asked again afterwards, from another event loop).
    """

    @property
    def concurrency(self) -> int:
        """The most requests at once."""
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able: everything about the model that could change a reply."""
        ...

    async def agenerate(self, request: Request) -> Outcome:
        """Ask once, without trying again; AttemptError says what kind of failure it was."""
        ...


def is_async(model: Model | AsyncModel) -> TypeGuard[AsyncModel]:
    """Whether a model is asked through coroutines."""
    return iscoroutinefunction(getattr(model, "agenerate", None))


def adapter_names() -> tuple[str, ...]:
    """The names of every adapter that is installed, ours and other people's."""
    return tuple(sorted({e.name for e in metadata.entry_points(group=ENTRY_POINTS)}))


def open_model(card: ModelCard) -> Model | AsyncModel:
    """Load the model that the card describes; imports its adapter only now.

    Raises UnknownNameError if no such adapter is installed and ModelError if it cannot be loaded.
    """
    points = {e.name: e for e in metadata.entry_points(group=ENTRY_POINTS)}
    if card.adapter not in points:
        raise UnknownNameError("adapter", card.adapter, points)
    module_name = points[card.adapter].module
    try:
        module = import_module(module_name)
    except MmdbenchError:
        raise
    except ImportError as error:
        raise ModelError(
            f"The adapter {card.adapter!r} ({module_name}) cannot be imported: {error}."
        ) from error
    if not hasattr(module, "load"):
        raise ModelError(f"The adapter {card.adapter!r} ({module.__name__}) has no function load(card).")
    try:
        return cast("Model | AsyncModel", module.load(card))
    except MmdbenchError:
        raise
    except Exception as error:
        raise ModelError(
            f"The adapter {card.adapter!r} cannot load the model {card.name!r}: "
            f"{type(error).__name__}: {error}.",
            hint="Are its options right (the card's options, --set)?",
        ) from error
