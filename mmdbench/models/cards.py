"""Model cards: named models, each described by a few lines of TOML.

::

    ["gpt-4.1-mini"]
    adapter = "openai"
    model = "gpt-4.1-mini"
    endpoint = "https://api.openai.com/v1"
    key_env = "OPENAI_API_KEY"
    generation = { temperature = 0, max_tokens = 2048 }
    price = { input = 0.40, output = 1.60, date = "2025-04-14" }
    retired = 2027-01-14

A card takes what it does not say itself from the card in `base`, also within a table. Cards are read from
the given files, from `./models.toml`, from `~/.config/mmdbench/models.toml` and from mmdbench itself; of
several cards with one name, the first counts. Those of `./models.toml` never count in place of one that comes
with mmdbench (`folder_cards`). A card never holds a key, only the name of the environment
variable that does. A card whose name begins with `_` is only a base.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.models.card_secrets import (
    refuse_secrets,
    refuse_secrets_of_address,
    refuse_secrets_of_name,
    refuse_secrets_of_settings,
)
from mmdbench.models.card_settings import apply_settings, model_named
from mmdbench.models.folder_cards import (
    FOLDER_FILE,
    announcement,
    needs_model_card,
    refuse_untrusted,
    replaces_shipped,
)
from mmdbench.models.prices import Price, listed_price, read_price
from mmdbench.system.toml import holds_date, parse_toml

__all__ = [
    "CUSTOM_KEY",
    "ModelCard",
    "check_price",
    "find_card",
    "known_cards",
    "read_cards",
    "retirement",
    "set_options",
    "shipped_cards",
    "with_list_price",
]

CUSTOM_KEY = "MMDBENCH_API_KEY"
"""The environment variable with the key for an address after `--model NAME@`."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model by name: its adapter and its settings.

    `model` is its id at the endpoint, or its checkpoint; `key_env` names the environment variable
    that holds the endpoint's key. `options` go to the adapter; `generation` goes to the model with
    each request, and is part of every reply's key. `images` are the endpoint's limits on pictures
    (`max_bytes`, `max_side`, `formats`, `tokens`); `context` is in tokens. From the day `retired` on, the
    provider does not answer as this model any more. `headers` go to the endpoint with each request; their
    values are names of environment variables, such as `$MY_KEY`. `notes` are for the user.
    """

    name: str
    adapter: str
    summary: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    endpoint: str = ""
    key_env: str = ""
    price: Price | None = None
    context: int | None = None
    images: Mapping[str, Any] = field(default_factory=dict)
    retired: date | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=(), compare=False)


def shipped_cards() -> dict[str, ModelCard]:
    """The cards that come with mmdbench, by name."""
    return dict(_shipped_cards())


def read_cards(path: Path) -> dict[str, ModelCard]:
    """The cards of a TOML file: one table for each model, named like the model."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"Cannot read the model cards in {path}: {what}.") from error
    tables = _whole_tables(_tables(text, str(path)), _shipped_tables(), str(path))
    return {name: _card(name, table, str(path)) for name, table in tables.items() if name[:1] != "_"}


def known_cards(files: Sequence[Path] = ()) -> dict[str, ModelCard]:
    """All cards by name, as `find_card` finds them."""
    return _read_sources(files).cards


def find_card(name: str, files: Sequence[Path] = ()) -> ModelCard:
    """The card of that name, or one made from `<card>:<model>` or `<card>:<model>@<base-url>`.

    A given base URL gets the key in MMDBENCH_API_KEY, never that of the card's own endpoint;
    `--set key_env=NAME` names another variable. An endpoint may hold environment variables and the model:
    `$NAME/{model}/v1`.
    A card without an endpoint keeps its key and headers.
    """
    refuse_secrets_of_name(name)
    sources = _read_sources(files)
    wanted = sources.key_of(name)
    if wanted in sources.hidden:
        raise needs_model_card(wanted, "would be asked instead of one that comes with mmdbench")
    if name in sources.cards:
        made = sources.cards[name]
    elif wanted in sources.cards and wanted != name:
        made = _for_model(name, wanted, sources.cards[wanted])
    else:
        raise UnknownNameError("model", wanted, sources.cards, see="mmdbench list models")
    made = _placed(made)
    if wanted not in sources.folder:
        return made
    refuse_untrusted(wanted, sources.folder[wanted], made, [_placed(card) for card in sources.trusted])
    return replace(made, notes=(*made.notes, announcement(wanted, made)))


def _for_model(name: str, key: str, card: ModelCard) -> ModelCard:
    """The card `key` for the model, and the address if there is one, that a name adds to it."""
    model, _, url = name.removeprefix(f"{key}:").partition("@http")
    if not model:
        raise UsageError(
            f"A model of the card {key!r} needs a name after the colon, got {name!r}.",
            hint=f"Write {key}:<model> or {key}:<model>@<base-url>.",
        )
    _check_address(name, key, "" if url else model)
    made = _with_model(replace(card, name=_short(name, key, model), summary=""), model)
    made = replace(made, price=None, retired=None)
    if not url:
        return made
    if card.endpoint:  # its key and headers are for that endpoint alone
        made = replace(made, key_env=CUSTOM_KEY, headers={})
    return replace(made, endpoint=f"http{url}")


@dataclass(frozen=True, slots=True)
class _Sources:
    """The cards of all files: `cards` are those in use, and `folder` those of them from the working folder.

    `hidden` are names in the working folder that mean a card which comes with mmdbench. `trusted` are the
    cards that come with mmdbench, and the user's own.
    """

    cards: dict[str, ModelCard]
    folder: Mapping[str, ModelCard]
    hidden: frozenset[str]
    trusted: tuple[ModelCard, ...]

    def key_of(self, name: str) -> str:
        """The name of the card that a name means: itself, or its part before the colon."""
        return name if name in self.cards or name in self.hidden else name.partition(":")[0]


def _read_sources(files: Sequence[Path]) -> _Sources:
    shipped, here, own = shipped_cards(), Path(FOLDER_FILE), _own_file()
    given: dict[str, ModelCard] = {}
    for path in files:
        given = read_cards(path) | given
    users = read_cards(own) if own.is_file() else {}
    is_folder = here.is_file() and not (own.is_file() and here.samefile(own))
    folder = {
        name: card for name, card in (read_cards(here) if is_folder else {}).items() if name not in given
    }
    hidden = {n for n, card in folder.items() if replaces_shipped(n, shipped) and card != shipped.get(n)}
    shown = {name: card for name, card in folder.items() if name not in hidden and name not in shipped}
    cards = {**shipped, **users, **shown, **given}
    return _Sources(cards, shown, frozenset(hidden), (*shipped.values(), *users.values()))


def set_options(card: ModelCard, settings: Sequence[str]) -> ModelCard:
    """The card, changed by `key=value` settings.

    A key is a field (`model=…`), a part of one (`generation.top_p=0.9`, to any depth), an option of the
    adapter or a part of one. A value is read as TOML, or as text if it is not valid TOML. The value `none`,
    or an empty one, takes a part of `generation`, `price` or `images` away. With another model, the card
    loses its price, context, image rules and retirement.
    """
    refuse_secrets_of_settings(settings)
    model = model_named(settings)
    if isinstance(model, str):
        card = _with_model(card, model)
    table = _as_table(card)
    apply_settings(table, settings, _FIELDS, _TABLES)
    return replace(_card(card.name, table, "--set"), notes=card.notes)


def _with_model(card: ModelCard, model: str) -> ModelCard:
    """The card for another model; what the card says of the one that it named before is left out."""
    if card.model in ("", model):
        return replace(card, model=model)
    facts = {"price": "price", "context": "context", "images": "image rules", "retired": "retirement"}
    lost = [said for name, said in facts.items() if getattr(card, name)]
    note = f"the card's {', '.join(lost)} are those of {card.model} and do not count for {model}"
    notes = (*card.notes, note) if lost else card.notes
    return replace(card, model=model, price=None, context=None, images={}, retired=None, notes=notes)


def with_list_price(card: ModelCard) -> ModelCard:
    """The card with the price of an installed genai-prices, if its own is a list price or missing."""
    if (card.price and not card.price.source) or not card.endpoint.startswith("https://"):
        return card
    price = listed_price(card.model, card.endpoint)
    if price and card.price:
        price = replace(price, batch=card.price.batch)  # genai-prices has none
    return replace(card, price=price or card.price)


def retirement(card: ModelCard, today: date | None = None) -> str:
    """A sentence about the model's retirement by its provider; empty if none is announced."""
    if card.retired is None:
        return ""
    days = (card.retired - (today or datetime.now().astimezone().date())).days
    if days > 0:
        return f"{card.name} retires on {card.retired}, in {days} day{'s' * (days != 1)}."
    return (
        f"{card.name} was retired on {card.retired}: its provider may refuse requests, or answer them with "
        "another model at another price."
    )


def check_price(card: ModelCard, usd: float | None) -> None:
    """Raise UsageError if there is a limit of US dollars and the card has no price."""
    if usd is not None and card.price is None:
        raise UsageError(
            f"--max-usd needs the price of {card.name!r}, and its card has none.",
            hint="In US dollars for a million tokens: --set price.input=… --set price.output=… "
            "--set price.date=…",
        )


def _placed(card: ModelCard) -> ModelCard:
    """The card with the model and the variables of its endpoint in place; the adapter refuses unset ones."""
    named = card.endpoint.replace("{model}", quote(card.model, safe="")) if card.model else card.endpoint
    placed = os.path.expandvars(named)
    refuse_secrets_of_address(placed)
    return replace(card, endpoint=placed)


def _check_address(name: str, card: str, model: str) -> None:
    # Without its scheme, an address would be read as a part of the model's name, and questions would be
    # sent to the card's own endpoint.
    before, at, address = model.rpartition("@")
    if at and before and (any(sign in address for sign in ":/") or address == "localhost"):
        raise UsageError(
            f"{name!r}: the address {address!r} does not begin with http:// or https://.",
            hint=f"Write {card}:{before}@http://… or {card}:{before}@https://….",
        )


_TABLES = ("options", "generation", "price", "images", "headers")
_FIELDS = ("adapter", "summary", "model", "endpoint", "key_env", "context", "retired", *_TABLES)
# Options that a card may also hold as fields of its own.
_ASKED = ("sampling", "max_tokens_field")
_SHIPPED = "mmdbench/adapters/cards.toml"


@cache
def _shipped_cards() -> Mapping[str, ModelCard]:
    tables = _shipped_tables()
    return {name: _card(name, table, _SHIPPED) for name, table in tables.items() if name[:1] != "_"}


@cache
def _shipped_tables() -> dict[str, Any]:
    """The tables of the cards that come with mmdbench, with all that they take from their bases."""
    text = resources.files("mmdbench.adapters").joinpath("cards.toml").read_text("utf-8")
    return _whole_tables(_tables(text, _SHIPPED), {}, _SHIPPED)


def _tables(text: str, where: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{where} is not valid TOML: {error}.") from error


def _whole_tables(tables: Mapping[str, Any], others: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The tables with what they take from their bases, which stand before them or are among the `others`."""
    whole: dict[str, Any] = {}
    for name, table in tables.items():
        base = table.get("base") if isinstance(table, dict) else None
        if base is None:
            whole[name] = table
            continue
        known = {**others, **whole}
        if not isinstance(base, str) or base not in known:
            raise UnknownNameError(f"base of the card [{name}] in {where}:", str(base), known)
        whole[name] = _merged(known[base], {key: value for key, value in table.items() if key != "base"})
    return whole


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The base's fields and, over them, the card's own; tables are merged key by key, prices are not."""
    merged = [key for key in _TABLES if key != "price" and isinstance(own.get(key), dict)]
    return {**base, **own, **{key: {**base.get(key, {}), **own[key]} for key in merged}}


def _card(name: str, table: Any, where: str) -> ModelCard:
    if not isinstance(table, dict):
        raise UsageError(f"{where}: {name} must be a table: [{name}] and, below it, adapter = '…'.")
    if where != _SHIPPED:  # these hold none, and are read at each start
        refuse_secrets(table, name, where)
    for key in table:
        if key not in (*_FIELDS, *_ASKED):
            raise UnknownNameError(
                f"key of model card [{name}] in {where}:", key, (*_FIELDS, *_ASKED, "base")
            )
    if not isinstance(table.get("adapter"), str):
        raise UsageError(f"{where}: the card [{name}] must name its adapter: adapter = '…'.")
    for key, value in table.items():
        wanted = _KINDS[key]
        if not isinstance(value, wanted) or isinstance(value, bool | datetime):
            raise UsageError(
                f"{where}: {key} of the card [{name}] must be a {_WORDS[wanted]}, "
                f"not of the type {type(value).__name__}."
            )
        if key in ("options", "generation", "images") and holds_date(value):
            raise UsageError(
                f"{where}: {key} of the card [{name}] must hold no date or time.", hint="Put it in quotes."
            )
    price = read_price(table["price"], name, where) if table.get("price") else None
    asked = {key: table[key] for key in _ASKED if key in table}
    fields = {key: value for key, value in table.items() if key not in asked}
    options = {**table.get("options", {}), **asked}
    return ModelCard(**{"name": name, **fields, "price": price, "options": options})


_KINDS: Mapping[str, type] = {
    **dict.fromkeys((*_FIELDS, *_ASKED), str),
    **dict.fromkeys(_TABLES, dict),
    "context": int,
    "retired": date,
}
_WORDS: Mapping[type, str] = {
    dict: "table",
    int: "whole number",
    str: "text",
    date: "date such as 2027-01-14",
}


def _as_table(card: ModelCard) -> dict[str, Any]:
    table = asdict(card)
    del table["name"], table["notes"]
    table["price"] = {key: value for key, value in (table["price"] or {}).items() if value is not None}
    return {key: value for key, value in table.items() if value is not None}


def _short(name: str, card: str, model: str) -> str:
    # A checkpoint's path is private to this machine, so it is no part of a name.
    return f"{card}:{Path(model).name}" if Path(model).is_absolute() else name


def _own_file() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "mmdbench" / FOLDER_FILE
