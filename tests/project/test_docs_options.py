"""Commands and options in the text, tables and blocks of the pages have names and values that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import typer

from docs_blocks import PAGES, ROOT, SHELLS, blocks_of, commands_of
from mmdbench.cli import app
from mmdbench.cli._shared.lazy_verbs import MISUSE
from mmdbench.cli._shared.options import split_option
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.library.listing import named_rows
from mmdbench.records import LEVEL_ORDER, PAPER_SET
from mmdbench.report.tables.names import TABLES
from mmdbench.variants.design import parse_design

OTHERS = {
    "--durations": "pytest",
    "--junitxml": "pytest",
    "--mmdbench-runs": "the plugin of pytest",
    "--mmdbench-force": "the plugin of pytest",
    "--no-deps": "pip",
    "--option": "any option",
    "--port": "a server that --serve starts",
}
"""Options in the text that are no verb's, by their program."""

GONE = ("--balance", "--no-images", "--metrics")
"""Options that the changelog says are no more."""

OTHER_PAGES = [
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *(page for page in sorted((ROOT / "examples").rglob("*.md")) if page not in PAGES),
]
"""Pages whose options are looked up, and whose commands are not run."""

INSTALLED = ("rain",)
"""Corruptions of packages that a page installs first."""

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)*)`")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@cache
def command_of(name: str) -> Any:
    """The command of a verb, or of a verb in a group, such as `data get`."""
    group = typer.main.get_command(app)
    for word in name.split():
        group = group.commands[word]
    return group


@cache
def verbs() -> dict[str, frozenset[str]]:
    """The options of each verb, hidden ones left out."""
    found = {}
    for name in typer.main.get_command(app).commands:
        members = getattr(command_of(name), "commands", None)
        for whole in [f"{name} {member}" for member in members] if members else [name]:
            params = command_of(whole).params
            found[whole] = frozenset(
                option
                for param in params
                if not getattr(param, "hidden", False)
                for option in (*param.opts, *param.secondary_opts)
            )
    return found


def split_verb(words: list[str]) -> tuple[str, list[str]]:
    """The verb, with the member of a group, and the words after it."""
    size = 2 if any(name.startswith(f"{words[0]} ") for name in verbs()) else 1
    name = " ".join(words[:size])
    if size == 2 and name not in verbs() and hasattr(command_of(words[0]), "default"):
        size, name = 1, f"{words[0]} {command_of(words[0]).default}"
    assert name in verbs(), f"there is no verb {name!r}"
    return name, words[size:]


def names_in(value: str | list[str] | None) -> tuple[str, ...]:
    """The names that an option got, also one that takes a single one."""
    return split_option([value] if isinstance(value, str) else value)


def check_values(values: dict[str, Any]) -> None:
    """The values of options that take names are among the names."""
    kinds = {row["name"] for row in named_rows("protocols")}, {row["name"] for row in named_rows("tasks")}
    for option, known in (("protocol", kinds[0]), ("task", kinds[1])):
        assert values.get(option) in (None, "", *known), f"--{option} {values[option]}"
    for level in names_in(values.get("level")):
        assert level in LEVEL_ORDER, f"--level {level}"
    for table in names_in(values.get("table")):
        named = {"all", *TABLES, *(f"scores-{level}" for level in LEVEL_ORDER)}
        assert table in named | {"published", "NAME", "KEY"}, f"--table {table}"
    if values.get("design"):
        parse_design(values["design"])
    names = names_in(values.get("corruption"))
    within = values.get("corruption_set") or PAPER_SET
    use_corruptions([name for name in names if ":" not in name and name not in INSTALLED], within)


def parsed(words: list[str], *, whole: bool) -> None:
    """Parse a command as the command line does; unless it is whole, arguments may be missing."""
    name, rest = split_verb(words)
    command = command_of(name)
    try:
        context = command.make_context(name, list(rest), resilient_parsing=not whole)
    except MISUSE as error:
        raise AssertionError(f"mmdbench {' '.join(words)}: {error.format_message()}") from error
    unknown = [word for word in context.args if word.startswith("--")]
    used = {word.split("=")[0] for word in rest if _OPTION.match(word)}
    assert not unknown + sorted(used - verbs()[name] - {"--help"}), f"{name} has no {unknown or used}"
    check_values(context.params)


def commands_in_blocks() -> list[Any]:
    return [
        pytest.param(list(command.words[1:]), id=f"{command.where} {' '.join(command.words[1:3])}")
        for page in PAGES
        for block in blocks_of(page)
        if block.language in SHELLS
        for command in commands_of(block)
        if command.words[0].endswith("mmdbench") and "--help" not in command.words
    ]


def prose(page: Any) -> str:
    return _FENCE.sub("", page.read_text("utf-8"))


def commands_in_prose() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for code in _CODE.findall(prose(page)):
            if re.match(r"mmdbench [a-z]", code):
                words = [word for word in shlex.split(code)[1:] if word not in ("…", "||")]
                yield f"{page.relative_to(ROOT)}: {code}", words


@pytest.mark.parametrize("words", commands_in_blocks())
def test_a_command_in_a_block_has_options_arguments_and_values_that_exist(words):
    parsed(words, whole=True)


def test_commands_in_text_and_tables_have_options_and_values_that_exist():
    found = list(commands_in_prose())
    assert len(found) > 40
    for where, words in found:
        try:
            parsed(words, whole=False)
        except Exception as error:
            raise AssertionError(where) from error


def missing_options(text: str) -> list[str]:
    """The options in the code of a text that no verb has, or not the verb that is named with them.

    A verb is named before its options (`report RUN --table all`), or after one (`--gate` of `check`).
    """
    others = {"--help", "--version", *OTHERS}
    known = frozenset().union(*verbs().values()) | others
    missing = []
    for code in _CODE.findall(text):
        named = next((verb for verb in verbs() if re.match(rf"(mmdbench )?{verb}\s", code)), "any verb")
        if code.startswith("-") or named != "any verb":
            wanted = verbs().get(named, known) | others
            missing += [(option, named) for option in _OPTION.findall(code) if option not in wanted]
    for code, named in re.findall(r"`(--[^`]+)`\s+of\s+`(?:mmdbench )?([a-z ]+)`", text):
        if named in verbs():
            missing += [(option, named) for option in _OPTION.findall(code) if option not in verbs()[named]]
    return [f"{option} ({named})" for option, named in missing]


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_options_in_the_text_exist(page):
    gone = GONE if page.name == "CHANGELOG.md" else ()
    assert [found for found in missing_options(prose(page)) if found.split()[0] not in gone] == []


def test_wrong_commands_and_options_are_found():
    for words in (["report"], ["eval", "--model", "chance"], ["list", "--colour"], ["nonsense"]):
        with pytest.raises(AssertionError):
            parsed(words, whole=True)
    for words in (["report", "RUN", "--table", "none"], ["eval", "--task", "see"], ["eval", "--colour"]):
        with pytest.raises(AssertionError):
            parsed(words, whole=False)
    text = (
        "Add `--colour`, `--gate` of `check`, `report RUN --gate x` and the `--gate x`\nof `mmdbench page`."
    )
    assert missing_options(text) == ["--colour (any verb)", "--gate (report)", "--gate (page)"]
