"""Models under test: the protocol an adapter fulfils, model cards, and the lazy registry.

An adapter is a module that is registered under the entry-point group `mmdbench.adapters`
and has a function `load(card) -> Model`. mmdbench's own adapters take the same road.
A model card is a stanza of TOML that names an adapter and its settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module, metadata, resources
from pathlib import Path
from typing import Any, Protocol, cast

from mmdbench.errors import ModelError, UnknownNameError, UsageError
from mmdbench.records import Outcome, Request

__all__ = ["Model", "ModelCard", "adapter_names", "find_card", "open_model", "shipped_cards"]

ENTRY_POINTS = "mmdbench.adapters"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model by name: which adapter runs it and with what settings.

    `options` go to the adapter; `generation` is part of every reply's key and is handed to the
    model with each request.
    """

    name: str
    adapter: str
    summary: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)


class Model(Protocol):
    """A model that can be asked.

    An adapter may also have `batch_size` (how many requests it likes at once, default 1) and
    `prompt(question, default) -> str` (another wording than the benchmark's; it is recorded).
    """

    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able: everything about the model that could change a reply, weights included."""
        ...

    def generate(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Answer the requests, one outcome each and in their order."""
        ...


def shipped_cards() -> dict[str, ModelCard]:
    """The cards that come with mmdbench, by name."""
    text = resources.files("mmdbench.adapters").joinpath("cards.toml").read_text("utf-8")
    return _parse_cards(text, "mmdbench/adapters/cards.toml")


def read_cards(path: Path) -> dict[str, ModelCard]:
    """The cards of a TOML file: one table for each model, named like the model."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"Cannot read the model cards in {path}: {error.strerror}.") from error
    return _parse_cards(text, str(path))


def find_card(name: str, files: Sequence[Path] = ()) -> ModelCard:
    """The card of that name, from the given files first, then from those that are shipped."""
    cards = shipped_cards()
    for path in files:
        cards |= read_cards(path)
    if name not in cards:
        raise UnknownNameError("model", name, cards, see="mmdbench list models")
    return cards[name]


def adapter_names() -> tuple[str, ...]:
    """The names of every adapter that is installed, ours and other people's."""
    return tuple(sorted({e.name for e in metadata.entry_points(group=ENTRY_POINTS)}))


def open_model(card: ModelCard) -> Model:
    """Load the model that the card describes; imports its adapter only now."""
    points = {e.name: e for e in metadata.entry_points(group=ENTRY_POINTS)}
    if card.adapter not in points:
        raise UnknownNameError("adapter", card.adapter, points)
    module = import_module(points[card.adapter].module)
    if not hasattr(module, "load"):
        raise ModelError(f"The adapter {card.adapter!r} ({module.__name__}) has no function load(card).")
    return cast("Model", module.load(card))


def _parse_cards(text: str, where: str) -> dict[str, ModelCard]:
    tomllib = _tomllib()
    try:
        tables = tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"{where} is not valid TOML: {error}.") from error
    return {name: _card(name, table, where) for name, table in tables.items()}


def _card(name: str, table: Any, where: str) -> ModelCard:
    known = ("adapter", "summary", "options", "generation")
    if not isinstance(table, dict):
        raise UsageError(f"{where}: {name} must be a table: [{name}] and, below it, adapter = '…'.")
    for key in table:
        if key not in known:
            raise UnknownNameError(f"key of model card [{name}] in {where}:", key, known)
    if not isinstance(table.get("adapter"), str):
        raise UsageError(f"{where}: the card [{name}] must say which adapter runs it: adapter = '…'.")
    return ModelCard(name=name, **table)


def _tomllib() -> Any:
    try:
        return import_module("tomllib")
    except ModuleNotFoundError:  # Python 3.10
        return import_module("tomli")
