"""Models under test: the protocols an adapter fulfils, and the lazy registry.

An adapter is a module that is registered under the entry-point group `mmdbench.adapters`
and has a function `load(card) -> Model` (or AsyncModel). mmdbench's own adapters take the same
road. A card may also name a file of yours: `adapter = "my_model.py"`. What a card is stands in
`mmdbench.models.cards`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from importlib.util import module_from_spec, spec_from_file_location
from inspect import iscoroutinefunction
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeGuard, cast

from mmdbench.errors import MmdbenchError, ModelError, UnknownNameError
from mmdbench.models.cards import ModelCard, find_card, known_cards, shipped_cards
from mmdbench.records import Outcome, Request

__all__ = [
    "AsyncModel",
    "Fingerprinted",
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


class Fingerprinted(Protocol):
    """What planning needs of a model: what it is, and perhaps `prompt(question, default) -> str`."""

    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able: everything about the model that could change a reply."""
        ...


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


def is_async(model: object) -> TypeGuard[AsyncModel]:
    """Whether a model is asked through coroutines."""
    return iscoroutinefunction(getattr(model, "agenerate", None))


def adapter_names() -> tuple[str, ...]:
    """The names of every adapter that is installed, ours and other people's."""
    return tuple(sorted({e.name for e in metadata.entry_points(group=ENTRY_POINTS)}))


def open_model(card: ModelCard) -> Model | AsyncModel:
    """Load the model that the card describes; imports its adapter only now.

    Raises UnknownNameError if no such adapter is installed and ModelError if it cannot be loaded.
    """
    module = _file_module(card) if card.adapter.endswith(".py") else _installed_module(card)
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


def _installed_module(card: ModelCard) -> ModuleType:
    points = {e.name: e for e in metadata.entry_points(group=ENTRY_POINTS)}
    if card.adapter not in points:
        raise UnknownNameError("adapter", card.adapter, points)
    module_name = points[card.adapter].module
    try:
        return import_module(module_name)
    except MmdbenchError:
        raise
    except ImportError as error:
        raise ModelError(
            f"The adapter {card.adapter!r} ({module_name}) cannot be imported: {error}."
        ) from error


def _file_module(card: ModelCard) -> ModuleType:
    """The module in a file that a card names, from the working folder; it is read once in a process."""
    path = Path(card.adapter).expanduser().resolve()
    name = f"_mmdbench_adapter_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ModelError(
            f"The card of {card.name!r} names the adapter {card.adapter}, and there is no such file.",
            hint="Paths are read from the folder that mmdbench is called in.",
        )
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        if isinstance(error, MmdbenchError):
            raise
        raise ModelError(
            f"The adapter {card.adapter} cannot be run: {type(error).__name__}: {error}."
        ) from error
    return module
