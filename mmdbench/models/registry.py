"""Protocols of models, and the registry that opens a model from its card.

An adapter is a module with a function `load(card) -> Model` (or AsyncModel), registered under the
entry-point group `mmdbench.adapters`, as mmdbench's own adapters are. A card may also name a Python
file: `adapter = "my_model.py"`. Its content, and that of the modules beside it which it imports, is then
part of the model's fingerprint.
Adapters are imported when a model is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, cast

from mmdbench.errors import MmdbenchError, ModelError, UnknownNameError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.records import Outcome, Request
from mmdbench.scoring import OPENS_THOUGHT
from mmdbench.system.python_file import file_digest, load_file
from mmdbench.system.secrets import error_text

if TYPE_CHECKING:
    from importlib import metadata

    from mmdbench.benches.download import FetchSettings

__all__ = [
    "AsyncModel",
    "Fingerprinted",
    "MissingFile",
    "Model",
    "adapter_names",
    "check_card",
    "check_model",
    "fetch_files",
    "is_async",
    "missing_files",
    "open_model",
]

ENTRY_POINTS = "mmdbench.adapters"


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A file that a model needs and that is not on this machine.

    `source` names the place that it is downloaded from; `bytes` are those left to download, None if unknown.
    """

    name: str
    source: str
    bytes: int | None


class Fingerprinted(Protocol):
    """The part of a model that a plan is made from; it may also have `prompt(question, default) -> str`."""

    def fingerprint(self) -> Mapping[str, Any]:
        """Everything about the model that could change a reply, as a JSON-able dict."""
        ...


class Model(Protocol):
    """A model that is called directly.

    It may also have `batch_size` (the number of requests that it takes at once, default 1),
    `prompt(question, default) -> str` (its own wording of a prompt, which is recorded) and `check()`
    (raises an MmdbenchError if it cannot be asked; called before a run starts).
    """

    def fingerprint(self) -> Mapping[str, Any]:
        """Everything about the model that could change a reply, weights included, as a JSON-able dict."""
        ...

    def generate(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Answer the requests, one outcome each and in their order."""
        ...


class AsyncModel(Protocol):
    """A model behind a server, which answers many requests at once, each in its own coroutine.

    It may also have `prompt` and `check` as a Model, `throttle` (a ThrottleSettings: limits on
    concurrency, rates and attempts), `learnt` (a LearntParameters: the settings that its server takes) and
    `aclose()` (a coroutine that closes the connections; the model can be asked again afterwards, in another
    event loop).
    """

    @property
    def concurrency(self) -> int:
        """The most requests at once."""
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """Everything about the model that could change a reply, as a JSON-able dict."""
        ...

    async def agenerate(self, request: Request) -> Outcome:
        """Send a request once, without a retry. Raises AttemptError with the kind of the failure."""
        ...


def is_async(model: object) -> TypeGuard[AsyncModel]:
    """True if a model is asked through coroutines."""
    return iscoroutinefunction(getattr(model, "agenerate", None))


def check_model(model: object) -> None:
    """Call the model's own `check()`, if it has one; it raises an MmdbenchError if it cannot be asked."""
    check = getattr(model, "check", None)
    if check is not None:
        check()


def check_card(card: ModelCard) -> None:
    """Raise for what a card's model lacks on this machine, such as packages or a key, before long work.

    It is `check_card(card)` of an installed adapter, if it has such a function; weights are not loaded.
    """
    check = getattr(_own_module(card), "check_card", None)
    if check:
        check(_for_adapter(card))


def adapter_names() -> tuple[str, ...]:
    """The names of all installed adapters, mmdbench's own and others."""
    return tuple(sorted(_entry_points()))


def missing_files(card: ModelCard) -> tuple[MissingFile, ...]:
    """The files to download before a card's model can be opened; none if its adapter knows of none.

    An adapter that downloads files itself has the functions `missing_files(card)` and
    `fetch_files(card, settings)`. They are asked once, before any worker opens the model.
    """
    find = getattr(_own_module(card), "missing_files", None)
    return tuple(find(_for_adapter(card))) if find else ()


def fetch_files(card: ModelCard, settings: FetchSettings) -> None:
    """Download the files that `missing_files` names."""
    fetch = getattr(_own_module(card), "fetch_files", None)
    if fetch:
        fetch(_for_adapter(card), settings)


def _own_module(card: ModelCard) -> ModuleType | None:
    """The module of an installed adapter. One in a file is not run before the model is opened."""
    return None if card.adapter.endswith(".py") else _installed_module(card)


def open_model(card: ModelCard) -> Model | AsyncModel:
    """Load the model of a card; its adapter is imported only now.

    The option `opens_thought` is for the grading of replies, and no adapter gets it.

    Raises UnknownNameError if no such adapter is installed, ModelError if it cannot be loaded, and UsageError
    if `opens_thought` is neither true nor false.
    """
    card = _for_adapter(card)
    is_file = card.adapter.endswith(".py")
    what = f"{card.adapter}, the adapter of {card.name!r},"
    module = load_file(Path(card.adapter), what, ModelError) if is_file else _installed_module(card)
    if not hasattr(module, "load"):
        raise ModelError(f"The adapter {card.adapter!r} ({module.__name__}) has no function load(card).")
    try:
        model = module.load(card)
    except MmdbenchError:
        raise
    except Exception as error:
        raise ModelError(
            f"The adapter {card.adapter!r} cannot load the model {card.name!r}: {error_text(error)}.",
            hint="Are its options right (the card's options, --set)?",
        ) from error
    digest = file_digest(module)
    return cast("Model | AsyncModel", _FromFile(model, digest) if digest else model)


def _for_adapter(card: ModelCard) -> ModelCard:
    """The card without the option that is for the grading of replies, after a check of it."""
    opens = card.options.get(OPENS_THOUGHT, False)
    if not isinstance(opens, bool):
        raise UsageError(f"The option {OPENS_THOUGHT} must be true or false, got {opens!r}.")
    return replace(card, options={k: v for k, v in card.options.items() if k != OPENS_THOUGHT})


class _FromFile:
    """A model of an adapter in a file, the digest of whose sources is part of the fingerprint."""

    def __init__(self, model: Any, digest: str) -> None:
        self._model, self._digest = model, digest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def fingerprint(self) -> Mapping[str, Any]:
        """The model's own fingerprint and the digest of the sources."""
        return {**self._model.fingerprint(), "adapter_file": self._digest}


def _entry_points() -> dict[str, metadata.EntryPoint]:
    from importlib import metadata

    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}


def _installed_module(card: ModelCard) -> ModuleType:
    points = _entry_points()
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
