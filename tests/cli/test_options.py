"""An option of one name means the same in every verb: help, type, heading and default."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated, NamedTuple, get_args, get_origin, get_type_hints

import pytest
import typer
from typer.models import OptionInfo
from typer.testing import CliRunner

import mmdbench.cli
from verb_calls import verbs

CLI = Path(mmdbench.cli.__file__).parent

# Options whose help, type or heading differs in one verb, and why.
DIFFERENT = {
    ("page", "--out"): "a page is an HTML file",
    ("board make", "--out"): "a site",
    ("replay", "--out"): "a replay writes one picture",
    ("gallery", "--out"): "a gallery is a sheet",
    ("show", "--out"): "a sheet, too",
    ("build", "--out"): "a build is no run",
    ("eval", "--out"): "several models have a run each",
    ("eval", "--model"): "several models",
    ("figures", "--out"): "loose files, no run",
    ("train", "--out"): "checkpoints, no run",
    ("export", "--out"): "loose files, no run",
    ("build", "--format"): "each verb writes formats of its own",
    ("figures", "--format"): "each verb writes formats of its own",
    ("check", "--markdown"): "a file, as --junit, beside what is printed",
    ("calibrate", "--out"): "numbers or a page, which the tables on the screen go with",
    ("corrupt", "--out"): "pictures",
    ("quality", "--batch"): "pictures that are measured together, not a server's batch endpoint",
    ("score", "--bench"): "one benchmark, that of a file of predictions",
    ("replay", "--bench"): "picks one picture of a build",
    ("replay", "--level"): "picks one picture of a build",
    ("replay", "--corruption"): "picks one picture of a build",
    ("corrupt", "--level"): "one level, or an intensity instead",
    ("verify", "--corruption"): "code that may run, to make pictures again",
    ("board make", "--corruption"): "code that may run, to make pictures again",
    ("board verify", "--corruption"): "code that may run, to make pictures again",
    ("page", "--corruption"): "code that may run, to make pictures again",
    ("report", "--corruption"): "code that may run, to make pictures again",
    ("quality", "--corruption"): "code that may run, to make pictures again",
    ("verify", "--sample"): "pictures rather than questions",
    ("board verify", "--sample"): "requests rather than questions",
}
# Options whose default differs between verbs, and why.
DEFAULTS = {
    "--level": "only eval shows clean pictures without being asked to",
    "--protocol": "verbs that read a run keep its own",
    "--extraction": "verbs that read a run keep its own",
    "--out": "only some verbs know a place",
}


class Use(NamedTuple):
    """One option of one verb."""

    verb: str
    help: str
    kind: str
    panel: str | None
    default: object


def uses():
    found = defaultdict(list)
    for words, verb in verbs().items():
        hints = get_type_hints(verb, include_extras=True)
        for parameter in inspect.signature(verb).parameters.values():
            kind, info = option_of(hints[parameter.name])
            if isinstance(info, OptionInfo):
                # Inside `Annotated` typer keeps the first name where a default would be.
                names = [str(name) for name in (info.default, *(info.param_decls or ()))]
                long = [name for name in names if name.startswith("--")]
                name = long[0] if long else f"--{parameter.name.replace('_', '-')}"
                default = None if parameter.default is parameter.empty else parameter.default
                found[name].append(Use(words, info.help, kind, info.rich_help_panel, default))
    return found


def option_of(hint):
    if get_origin(hint) is not Annotated:  # Python 3.10 makes `Annotated[…] | None` of a default of None
        hint = next(part for part in get_args(hint) if get_origin(part) is Annotated)
    kind, *infos = get_args(hint)
    return re.sub(r"<class '(.*)'>", r"\1", str(kind)).removesuffix(" | None"), infos[-1]


@pytest.mark.parametrize("name", sorted(name for name, found in uses().items() if len(found) > 1))
def test_an_option_means_the_same_in_every_verb(name):
    alike = [use for use in uses()[name] if (use.verb, name) not in DIFFERENT]
    assert len({(use.help, use.kind, use.panel) for use in alike}) <= 1, alike
    defaults = {repr(use.default) for use in alike if use.default is not None}
    assert len(defaults) <= 1 or name in DEFAULTS, alike


def test_every_exception_is_one():
    found = uses()
    for verb, name in DIFFERENT:
        (own,) = [use for use in found[name] if use.verb == verb]
        others = {use[1:4] for use in found[name] if (use.verb, name) not in DIFFERENT}
        assert own[1:4] not in others, (verb, name)
    for name in DEFAULTS:
        alike = [use for use in found[name] if (use.verb, name) not in DIFFERENT]
        assert len({repr(use.default) for use in alike}) > 1, name


def test_help_texts_are_plain_sentences():
    for name, found in uses().items():
        for use in found:
            assert re.match(r"[A-Z]|key=value", use.help), (use.verb, name, use.help)
            assert re.search(r"[.)]$|see: mmdbench", use.help), (use.verb, name, use.help)
    for words, verb in verbs().items():
        first = inspect.getdoc(verb).split("\n", 1)[0]
        assert re.match(r"[A-Z][a-z]+ .*\.$", first), (words, first)


NAMES = {"--corruption", "--level", "--table", "--metric", "--bench", "--label"}
"""Options that take several names."""


def commands():
    return {
        words: command
        for words, command in walk(typer.main.get_command(mmdbench.cli.app))
        if not hasattr(command, "commands")
    }


def walk(group, before=""):
    for name, command in group.commands.items():
        words = f"{before} {name}".strip()
        yield words, command
        if hasattr(command, "commands"):
            yield from walk(command, words)


@pytest.mark.parametrize("words", commands())
def test_options_follow_one_grammar(words):
    command = commands()[words]
    with command.make_context(words, [], resilient_parsing=True) as context:
        options = {name: p for p in command.get_params(context) for name in p.opts if name.startswith("--")}
    several = {
        ("corrupt", "--level"),  # of one picture
        ("replay", "--level"),
        ("replay", "--bench"),
        ("score", "--bench"),  # of one file
    }
    for name, option in options.items():
        if name in NAMES and (words, name) not in several:
            assert option.multiple, name
        if name in ("--json", "--markdown", "--quiet", "--dry-run", "--offline") and (words, name) != (
            "check",
            "--markdown",
        ):
            assert option.is_flag, name
        if name == "--out":
            assert "-o" in option.opts
    assert not {"--type", "--corruptions", "--metrics", "--name", "--output", "--levels"} & set(options)


@pytest.mark.parametrize("words", commands())
def test_an_option_of_one_value_may_not_be_repeated(words):
    command = commands()[words]
    with command.make_context(words, [], resilient_parsing=True) as context:
        options = [p for p in command.get_params(context) if p.param_type_name == "option" and not p.multiple]
    for option in options:
        name = option.opts[-1]
        if name == "--help":
            continue
        twice = [name] * 2 if option.is_flag else [name, "1", name, "2"]
        result = CliRunner().invoke(mmdbench.cli.app, [*words.split(), *twice])
        assert (result.exit_code, f"{name} may be given only once, got 2." in result.output) == (2, True), (
            name
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("eval --type graffiti", "--type is now --corruption."),
        ("build --corruptions all", "--corruptions is now --corruption."),
        ("quality pictures --metrics niqe", "--metrics is now --metric."),
        ("corrupt in.png out.png --corruption graffiti", "Missing option '-o'"),
        ("calibrate in.png --json out.json", "Write -o out.json"),
        ("merge a --metrics b", "No such option"),
    ],
)
def test_an_earlier_spelling_names_the_new_one(words, said):
    result = CliRunner().invoke(mmdbench.cli.app, words.split())
    assert (result.exit_code, said in result.output) == (2, True), result.output


def test_verbs_do_not_import_verbs():
    verbs = {path.stem for path in CLI.glob("*.py")} - {"__init__"}
    for path in sorted(CLI.rglob("*.py")):
        if path == CLI / "__init__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmdbench.cli"):
                parts = [*node.module.split("."), *(alias.name for alias in node.names)]
                assert parts[2] not in verbs, f"{path}:{node.lineno} imports a verb"
