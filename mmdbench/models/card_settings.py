"""Changes of a model card by `key=value` settings, made on the card as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mmdbench.errors import UsageError
from mmdbench.models.parameters import CARD_OPTIONS, LIMITS, without_untaken
from mmdbench.system.toml import parse_toml

__all__ = ["apply_settings", "model_named"]

_NONE = "none"
_MAY_BE_ABSENT = ("price", "context", "images")
# `none` is a value of these.
_WORDS = ("reasoning_effort", "effort", "tool_choice")


def apply_settings(
    table: dict[str, Any], settings: Sequence[str], fields: Sequence[str], tables: Sequence[str]
) -> None:
    """Change a card's table.

    Args:
        table: The table, which is changed.
        settings: Texts `key=value`.
        fields: The names of a card's fields.
        tables: Those of them that are tables.

    Raises:
        UsageError: A setting cannot be read.
    """
    pairs = [_read(setting) for setting in settings]
    paths = [_place(path, table, fields) for path, _ in pairs]
    for path, (_, text) in zip(paths, pairs, strict=True):
        if len(path) > 1 and path[0] in fields and path[0] not in tables:
            raise UsageError(f"Cannot read --set {'.'.join(path)}=…: the card's field {path[0]} is no table.")
        _put(table, path, text)
    if any(path[0] == "price" and path[1:] not in ([], ["source"]) for path in paths):
        table["price"].pop("source", None)  # it is not the list's price any more
    _settle_generation(table, paths)


def model_named(settings: Sequence[str]) -> Any:
    """The value that settings give to the card's field `model`; None if they give none."""
    return next((_value(text) for path, text in map(_read, settings) if path == ["model"]), None)


def _read(setting: str) -> tuple[list[str], str]:
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise UsageError("--set needs key=value.", hint="For example --set max_side=1024.")
    return key.strip().split("."), value


def _place(path: list[str], table: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    """The whole path of a key: a setting of generation, an option or a part of one may be named alone."""
    if path[0] in fields:
        return path
    if len(path) > 1:
        return ["options", *path]
    return ["generation" if path[0] in table["generation"] else "options", *path]


def _put(table: dict[str, Any], path: list[str], text: str) -> None:
    *parents, name = path
    for parent in parents:
        inner = table.get(parent, {})
        if not isinstance(inner, Mapping):
            raise UsageError(f"Cannot read --set {'.'.join(path)}=…: {parent} is no table.")
        table[parent] = table = dict(inner)
    if _takes_away(path, text):
        table.pop(name, None)
    else:
        table[name] = _value(text)


def _takes_away(path: list[str], text: str) -> bool:
    if path[0] == "options" or (len(path) == 1 and path[0] not in _MAY_BE_ABSENT):
        return False
    is_none = text.strip() == _NONE and path[-1] not in _WORDS
    return is_none or (len(path) > 1 and not text.strip())


def _settle_generation(table: dict[str, Any], paths: Sequence[list[str]]) -> None:
    """Leave out what the card sent before and its model does not take, by what was set."""
    generation = table.get("generation", {})
    if not isinstance(generation, Mapping):
        return  # the card's own check reports it
    asked = [path[1] for path in paths if path[0] == "generation" and len(path) > 1]
    asked += [name for name in generation if ["generation"] in paths]
    made = dict(generation)
    for name, other in (LIMITS, LIMITS[::-1]):
        if name in asked and name in made and other not in asked:
            made.pop(other, None)
    if any(path[0] == "options" and path[-1] in CARD_OPTIONS for path in paths):
        # Values of these options that cannot be read are reported by the adapter whose options they are.
        with suppress(UsageError):
            made = without_untaken(made, table["options"], asked)
    table["generation"] = made


def _value(text: str) -> Any:
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text
