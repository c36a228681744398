"""A group of verbs that imports a verb's module when that verb is used, and none for its help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from mmdbench.cli._shared.errors import guarded, plain_word

__all__ = ["MISUSE", "Group", "Verb", "VerbCommand", "VerbGroup"]


class Verb(NamedTuple):
    """A verb in the table of verbs."""

    place: str
    """Its module in `mmdbench.cli`, with a dot and the function, or the `typer.Typer` of a group of verbs."""
    line: str
    """First line of its help."""


class _Light:
    """A command that reads texts, and what has a parser, as typer does, but without importing pydantic.

    That import would take a third of the time of `mmdbench list`. Numbers are left to typer.
    """

    def make_context(self, *words: Any, **settings: Any) -> Any:
        """The context of a call; an error in its use shows no secret of an address that it repeats."""
        with _without_secrets():
            return super().make_context(*words, **settings)  # type: ignore[misc]

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters of the command."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in found:
            kind = getattr(parameter, "type_descriptor", None)
            if kind is not None:  # typer below 0.29 has none, and needs no pydantic
                parse = kind.parameter_info.parser or (str if kind.annotation in _TEXTS else None)
                parameter.get_runtime_param = partial(_Reader, parse, type(parameter).get_runtime_param)
        return found


MISUSE: Any = typer.BadParameter.__base__
"""The UsageError of the click that typer uses."""


@contextmanager
def _without_secrets() -> Iterator[None]:
    try:
        yield
    except MISUSE as error:
        error.message = plain_word(error.message)
        raise


_TEXTS = (str, list[str])


class _Reader:
    """Reads the value of a parameter by a function on its text, or on each of its texts, if there is one."""

    def __init__(self, parse: Callable[[Any], Any] | None, others: Callable[[Any], Any]) -> None:
        self._parse, self._others = parse, others

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of a parameter; None or an empty tuple if it was not given."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if self._parse is None:
            return self._others(param).coerce(value, param, ctx)
        return [self._parse(one) for one in value] if several else self._parse(value)


class VerbCommand(_Light, TyperCommand):
    """A verb: an option of one value is given once, and an earlier name of an option says its new one."""

    def make_parser(self, ctx: Any) -> Any:
        """A parser of the verb's words that refuses a second value of an option that takes one."""
        parser: Any = super().make_parser(ctx)
        parse = parser.parse_args
        if self.name in _TAKE_NAME:
            for option in self.get_params(ctx):
                if "--corruption" in option.opts:
                    parser.add_option(option, opts=["--name"], dest=option.name, action="append", nargs=1)

        def parse_once(args: list[str]) -> Any:
            try:
                options, rest, order = parse(args=args)
            except MISUSE as error:
                _name_the_new_option(error, self.get_params(ctx))
                raise
            given = Counter(option for option in order if option.param_type_name == "option")
            for option, times in given.items():
                if times > 1 and not option.multiple:
                    raise MISUSE(f"{option.opts[-1]} may be given only once, got {times}.", ctx=ctx)
            return options, rest, order

        parser.parse_args = parse_once
        return parser


_TAKE_NAME = ("corrupt", "gallery", "calibrate")
"""Verbs in which `--name` still is `--corruption`, without being listed in their help."""

_RENAMED = {
    "--name": ("--corruption", "--label"),
    "--type": ("--corruption",),
    "--corruptions": ("--corruption",),
    "--metrics": ("--metric",),
}
"""Earlier and likely names of options, with those that took their place, in the order of preference."""


def _name_the_new_option(error: Any, options: Iterable[Any]) -> None:
    """Let an error of an unknown option name the option that took its place, if the verb has it."""
    known = {name for option in options for name in option.opts}
    old = getattr(error, "option_name", "")
    new = [name for name in _RENAMED.get(old, ()) if name in known]
    if new:
        error.message, error.possibilities = f"{old} is now {new[-1]}.", None


class _Commands(Mapping[str, Any]):
    """The commands of verbs by name; each is made when it is looked up."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        self._verbs = verbs

    def __getitem__(self, name: str) -> Any:
        module, function = self._verbs[name].place.split(".")
        place = import_module(f"mmdbench.cli.{module}")
        found = getattr(place, function)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        alone = typer.Typer(add_completion=False)
        alone.command(name, cls=getattr(place, "COMMAND", VerbCommand))(guarded(found))
        return typer.main.get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(self._verbs)

    def __len__(self) -> int:
        return len(self._verbs)


class Group(_Light, TyperGroup):
    """A group of commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that the words name."""
        with _without_secrets():
            return super().resolve_command(ctx, args)


class VerbGroup(Group):
    """A group of the verbs in its table; a subclass names the table."""

    verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Commands(self.verbs)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the name and first line of every verb, without its module."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.line) for name, verb in self.verbs.items()])
