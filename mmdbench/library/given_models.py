"""The model that `evaluate` is given: a card's name, a card, an adapter's file, a model, or a function."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mmdbench.errors import UsageError
from mmdbench.library.callables import function_model
from mmdbench.library.options import EvaluateOptions
from mmdbench.library.user_interface import UserInterface
from mmdbench.models.cards import ModelCard, find_card, retirement, set_options
from mmdbench.models.registry import AsyncModel, Fingerprinted, Model

__all__ = ["AnyModel", "GivenModel", "chosen_card", "given_model"]

AnyModel = str | Path | ModelCard | Model | AsyncModel | Callable[..., Any]
"""Everything that `evaluate` takes as a model."""

_IN_MEMORY = "in memory"


@dataclass(frozen=True, slots=True)
class GivenModel:
    """A model by its card; `loaded` is the model itself if it was given, not named.

    A model whose state cannot be known (a function without a version) is `asked_anew` in every call.
    """

    card: ModelCard
    loaded: Fingerprinted | None = None
    asked_anew: bool = False


def given_model(model: AnyModel, options: EvaluateOptions, interface: UserInterface) -> GivenModel:
    """The card of a model, and the model itself if it is an object or a function.

    Args:
        model: Name of a card, path of an adapter's file (`my_model.py`), card, model, or function.
        options: The options of `evaluate`: settings and files of cards, name, version and concurrency.
        interface: Shows the notes of a card.

    Returns:
        The model.

    Raises:
        UsageError: It is none of these, or an option is for another kind of model.
    """
    if isinstance(model, (str, Path, ModelCard)):
        _refuse(options, ("name", "version"), "functions and models of one's own; a card has its name")
        settings = [*setting_texts(options.get("settings", ()))]
        if options.get("concurrency"):
            settings.append(f"concurrency={options['concurrency']}")
        return GivenModel(chosen_card(model, options.get("model_cards", ()), settings, interface))
    _refuse(options, ("settings", "serve"), "model cards")
    if hasattr(model, "fingerprint") and (hasattr(model, "generate") or hasattr(model, "agenerate")):
        _refuse(options, ("version", "concurrency"), "functions; a model has its fingerprint()")
        loaded = cast("Model", model)
        name = options.get("name") or str(loaded.fingerprint().get("name") or type(model).__name__)
        return GivenModel(ModelCard(_checked(name), _IN_MEMORY), loaded)
    if not callable(model):
        raise UsageError(
            f"A model must be a name, a card, an adapter's file, a function, or an object with fingerprint() "
            f"and generate(), got {type(model).__name__}."
        )
    name = _checked(options.get("name") or _name_of(model))
    version = options.get("version", "")
    made = function_model(model, name, version, options.get("concurrency"))
    return GivenModel(ModelCard(name, _IN_MEMORY), made, asked_anew=not version)


def chosen_card(
    model: str | Path | ModelCard,
    files: Sequence[str | Path],
    settings: Sequence[str],
    interface: UserInterface,
) -> ModelCard:
    """A card by name, changed by settings; notes on it, and on its retirement, are shown.

    Args:
        model: The name of a card, a card, or the path of an adapter's file.
        files: TOML files with cards.
        settings: Texts `key=value`.
        interface: Shows the notes.

    Returns:
        The card.
    """
    if isinstance(model, ModelCard):
        card = model
    elif str(model).endswith(".py"):
        card = ModelCard(Path(model).stem, str(model))
    else:
        card = find_card(str(model), [Path(file) for file in files])
    card = set_options(card, settings)
    for note in card.notes:
        interface.remark(note)
    retires = retirement(card)
    if retires:
        interface.note(f"mmdbench: {retires}")
    return card


def setting_texts(settings: Mapping[str, object] | Sequence[str]) -> list[str]:
    """Settings of a card as texts `key=value`, as `--set` takes them.

    >>> setting_texts({"generation.temperature": 0.5, "model": "x", "price": None})
    ['generation.temperature=0.5', 'model="x"', 'price=none']
    """
    if not isinstance(settings, Mapping):
        return list(settings)
    return [f"{key}={'none' if value is None else json.dumps(value)}" for key, value in settings.items()]


def _refuse(options: EvaluateOptions, names: Sequence[str], whose: str) -> None:
    for name in names:
        if options.get(name):
            raise UsageError(f"The option {name} is for {whose}.", hint=f"Leave out {name}.")


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "") or type(function).__name__
    if name == "<lambda>":
        raise UsageError("A lambda has no name for the tables.", hint='Add name="…".')
    return str(name)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[\w.+@:/ -]{1,100}", name):
        raise UsageError(f"The name of a model must be 1 to 100 letters, digits and .+@:/-, got {name!r}.")
    return name
