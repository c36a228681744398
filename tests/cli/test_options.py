"""An option of one name means the same in every verb: help, type, heading and default."""

from __future__ import annotations

import ast
import inspect
import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated, NamedTuple, get_args, get_origin, get_type_hints

import pytest
from typer.models import OptionInfo

import mmdbench.cli
from verb_calls import verbs

CLI = Path(mmdbench.cli.__file__).parent

# Options whose help, type or heading differs in one verb, and why.
DIFFERENT = {
    ("page", "--out"): "a page is an HTML file",
    ("replay", "--out"): "a replay writes one picture",
    ("gallery", "--out"): "a gallery is a sheet",
    ("show", "--out"): "a sheet, too",
    ("build", "--out"): "a build is no run",
    ("figures", "--out"): "loose files, no run",
    ("export", "--out"): "loose files, no run",
    ("build", "--format"): "each verb writes formats of its own",
    ("figures", "--format"): "each verb writes formats of its own",
    ("calibrate", "--json"): "a file, which the tables on the screen go with",
    ("calibrate", "--markdown"): "a file, which the tables on the screen go with",
    ("check", "--markdown"): "a file, as --junit, beside what is printed",
    ("quality", "--batch"): "pictures that are measured together, not a server's batch endpoint",
    ("eval", "--json"): "only a dry run is printed as JSON",
    ("score", "--bench"): "one benchmark, that of a file of predictions",
    ("replay", "--bench"): "picks one picture of a build",
    ("replay", "--level"): "picks one picture of a build",
    ("replay", "--corruption"): "picks one picture of a build",
    ("corrupt", "--level"): "one level, or an intensity instead",
    ("corrupt", "--name"): "one corruption, which must be named",
    ("verify", "--corruption"): "code that may run, to make pictures again",
    ("page", "--corruption"): "code that may run, to make pictures again",
    ("report", "--corruption"): "code that may run, to make pictures again",
    ("quality", "--corruption"): "code that may run, to make pictures again",
    ("verify", "--sample"): "pictures rather than questions",
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


def test_verbs_do_not_import_verbs():
    verbs = {path.stem for path in CLI.glob("*.py")} - {"__init__"}
    for path in sorted(CLI.rglob("*.py")):
        if path == CLI / "__init__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmdbench.cli"):
                parts = [*node.module.split("."), *(alias.name for alias in node.names)]
                assert parts[2] not in verbs, f"{path}:{node.lineno} imports a verb"
