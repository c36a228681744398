"""A group of verbs that imports a verb's module when that verb is used, and none for its help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperGroup

from mmdbench.cli._shared.errors import guarded

__all__ = ["Verb", "VerbGroup"]


class Verb(NamedTuple):
    """A verb in the table of verbs."""

    place: str
    """Its module in `mmdbench.cli`, with a dot and the function, or the `typer.Typer` of a group of verbs."""
    line: str
    """First line of its help."""


class _Commands(Mapping[str, Any]):
    """The commands of verbs by name; each is made when it is looked up."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        self._verbs = verbs

    def __getitem__(self, name: str) -> Any:
        module, function = self._verbs[name].place.split(".")
        found = getattr(import_module(f"mmdbench.cli.{module}"), function)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        alone = typer.Typer(add_completion=False)
        alone.command(name)(guarded(found))
        return typer.main.get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(self._verbs)

    def __len__(self) -> int:
        return len(self._verbs)


class VerbGroup(TyperGroup):
    """A group of the verbs in its table; a subclass names the table."""

    verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Commands(self.verbs)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the name and first line of every verb, without its module."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.line) for name, verb in self.verbs.items()])
