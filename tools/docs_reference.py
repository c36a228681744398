"""References of the site: the command line's from its commands, Python's from docstrings."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer

# A page of the Python reference: title, description, modules.
PAGES = {
    "evaluate": (
        "Evaluate and report",
        "Ask a model, read its run, compare, check and build.",
        ["library", "library.frames"],
    ),
    "corruptions": (
        "Corruptions",
        "Degrade images, batches and chains; draw and apply apart; ask for an effect.",
        [
            "corruptions",
            "corruptions.batches",
            "corruptions.chain",
            "corruptions.choices",
            "corruptions.severity",
            "corruptions.calibration",
        ],
    ),
    "integrations": (
        "Integrations",
        "Transforms and callbacks for other libraries; each needs its library.",
        [
            "integrations.albumentations",
            "integrations.torchvision",
            "integrations.datasets",
            "integrations.transformers",
            "integrations.lightning",
            "integrations.measurements",
        ],
    ),
    "benchmarks": (
        "Benchmarks",
        "Questions and their pictures, and the cells that a run visits.",
        ["benches", "variants.design", "records"],
    ),
    "models": (
        "Models",
        "Cards, adapters, failures of requests, and restorers.",
        ["models", "models.failures", "variants.restoration"],
    ),
    "scoring": (
        "Scoring",
        "From replies to grades, with a judge where rules fail, and from grades to intervals.",
        ["scoring", "results.rescoring", "results.judging.open", "stats"],
    ),
    "perception": (
        "Perception, rewards, training data",
        "Models that name degradations, CLEAR's and Robust-R1's rewards, and training sets by three recipes.",
        ["scoring.perception", "training.rewards", "training.robust_r1", "training"],
    ),
    "errors": ("Errors", "Error classes and their exit codes.", ["errors"]),
}


def python_reference() -> dict[str, str]:
    """The pages of the Python reference, by their place in the site."""
    rows = [
        f"| [{title}](python/{name}.md) | {what} | {', '.join(f'`mmdbench.{m}`' for m in modules)} |"
        for name, (title, what, modules) in PAGES.items()
    ]
    head = "# Python\n\nEverything below is public: its names change only with a line in the changelog.\n"
    pages = {"reference/python.md": "\n".join([head, "| page | for | modules |", "|---|---|---|", *rows, ""])}
    for name, (title, what, modules) in PAGES.items():
        bodies = "\n\n".join(f"::: mmdbench.{module}{_more(module)}" for module in modules)
        pages[f"reference/python/{name}.md"] = f"# {title}\n\n{what}\n\n{bodies}\n"
    return pages


def _more(module: str) -> str:
    """A table of the names that a module makes at run time, which a reader of its source cannot list."""
    if module != "integrations.albumentations":
        return ""
    from mmdbench.corruptions.spec_file import load_spec

    rows = [
        f"| `{name.title().replace('_', '')}` | {c.meaning} |" for name, c in load_spec().corruptions.items()
    ]
    head = "The transforms of one corruption each take `level`, `intensity`, `profile` and `p`:"
    return "\n".join(["\n", head, "", "| transform | corruption |", "|---|---|", *rows])


def commands(group: Any, prefix: str) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Every verb with the words that call it, its command and the types of its parameters."""
    for name, command in group.commands.items():
        words = f"{prefix} {name}"
        if hasattr(command, "commands"):
            yield from commands(command, words)
        else:
            yield words, command, get_type_hints(command.callback)


def cli_reference() -> str:
    """The page of all verbs with their arguments and options."""
    from mmdbench.cli import app

    lines = [
        "# Command line",
        "",
        "Made from the commands themselves. Exit codes everywhere: 0 done, 1 a regression, or something that",
        "`verify` found wrong, 2 wrong use or runs that cannot be compared, 3 cannot tell, 4 incomplete or",
        "infrastructure, 130 interrupted.",
        "",
    ]
    for words, command, hints in commands(typer.main.get_command(app), "mmdbench"):
        lines += _command(words, command, hints)
    return "\n".join(lines)


def _command(words: str, command: Any, hints: dict[str, Any]) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([words, *(_metavar(a) for a in arguments), "[OPTIONS]" if options else ""]).strip()
    lines = [f"## {words}", "", _escaped((command.help or "").strip()), "", f"```text\n{usage}\n```", ""]
    rows = [f"| `{_metavar(a)}` | {_type(hints[a.name])} | {_help(a)} |" for a in arguments]
    rows += [f"| {_names(o)} | {_type(hints.get(o.name, bool))} | {_help(o)} |" for o in options]
    if rows:
        lines += ["| argument or option | value | meaning |", "|---|---|---|", *rows, ""]
    return lines


def _metavar(argument: Any) -> str:
    name = (argument.metavar or argument.name or "").strip("[]{}").removesuffix("...")
    many = "..." if argument.nargs == -1 else ""
    return f"{name}{many}" if argument.required else f"[{name}]{many}"


def _names(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])


def _type(hint: Any) -> str:
    """The type of a parameter in a word; empty for a switch."""
    inner = [kind for kind in get_args(hint) if kind is not type(None)]
    if get_origin(hint) is list:
        return f"{_type(inner[0])}, repeatable"
    if inner:
        return _type(inner[0])
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " / ".join(member.value for member in hint)
    return {bool: "", int: "whole number", float: "number", str: "text", Path: "path"}[hint]


def _help(parameter: Any) -> str:
    text = _escaped(" ".join((parameter.help or "").split()))
    if parameter.required and parameter.param_type_name == "option":
        return f"{text} Required."
    default = parameter.default
    is_shown = isinstance(default, (int, float, str)) and not isinstance(default, bool) and default != ""
    return f"{text} Default: `{default}`." if is_shown and "default" not in text.lower() else text


def _escaped(text: str) -> str:
    """Help text with all signs of Markdown escaped."""
    for sign in "\\`*_|<[":
        text = text.replace(sign, "\\" + sign if sign != "<" else "&lt;")
    return text
