"""`mmdbench list`: names that options take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_json, say
from mmdbench.errors import UnknownNameError

__all__ = ["list_names"]

_COLUMNS = {
    "corruptions": ("name", "category", "drawn", "meaning"),
    "benches": ("name", "family", "rows", "licence"),
    "models": ("name", "adapter", "summary", "retired"),
    "designs": ("name", "meaning"),
    "levels": ("name", "intensity", "meaning"),
    "tables": ("name", "shows"),
    "protocols": ("name", "meaning"),
    "families": ("name", "prompt", "grader"),
    "tasks": ("name", "meaning"),
    "presets": ("name", "training", "profile", "meaning"),
}


def _complete_kind(incomplete: str) -> list[str]:
    return [kind for kind in _COLUMNS if kind.startswith(incomplete)]


def list_names(
    what: Annotated[
        str, typer.Argument(help=f"Kind of names: {', '.join(_COLUMNS)}.", autocompletion=_complete_kind)
    ],
    corruption_set: opts.CorruptionSet = opts.DEFAULT_SET,
    as_json: opts.Json = False,
) -> None:
    """List names that options take: corruptions, benches, models, designs, levels, tables …."""
    if what not in _COLUMNS:
        raise UnknownNameError("list", what, _COLUMNS)
    own = {"corruptions": lambda: _corruptions(corruption_set), "benches": _benches, "models": _models}
    _print(own[what]() if what in own else _rows(what), _COLUMNS[what], as_json)


def _rows(what: str) -> list[dict[str, Any]]:
    from mmdbench.library.listing import named_rows

    return named_rows(what)


def _corruptions(corruption_set: str) -> list[dict[str, Any]]:
    from mmdbench.corruptions.installed import installed_corruptions
    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.errors import MmdbenchError
    from mmdbench.records import PAPER_SET

    broken = []
    members = _members(corruption_set) if corruption_set != PAPER_SET else ()
    for name in () if members else installed_corruptions():
        from mmdbench.corruptions.plugins import use_corruption  # numpy takes longer than all the rest

        try:
            use_corruption(name)
        except MmdbenchError as error:
            broken.append({"name": name, "category": "?", "drawn": "?", "meaning": str(error)})
    rows = [
        {
            "name": name,
            "category": entry.category,
            "drawn": "random" if entry.stochastic else "fixed",
            "meaning": entry.meaning,
        }
        for name, entry in load_spec().corruptions.items()
        if (name in members if members else entry.of_set is None)
    ]
    return rows + broken


def _members(corruption_set: str) -> tuple[str, ...]:
    from mmdbench.corruptions.plugins import use_corruptions

    return use_corruptions((), corruption_set)


def _benches() -> list[dict[str, Any]]:
    from dataclasses import asdict

    from mmdbench.benches import find_bench, get_bench_names
    from mmdbench.scoring.families import get_family

    rows = []
    for info in (find_bench(name) for name in get_bench_names()):
        family = get_family(info.family)
        record = asdict(info)
        del record["benchmark"]  # the name that `title` shows
        rows.append({**record, "prompt": family.prompt_summary, "grader": family.grading_summary})
    return rows


def _models() -> list[dict[str, Any]]:
    from mmdbench.library.listing import known_cards

    return [
        {
            "name": card.name,
            "adapter": card.adapter,
            "summary": card.summary,
            "retired": str(card.retired or ""),
        }
        for card in known_cards().values()
    ]


def _print(rows: list[dict[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    from mmdbench.library.screen import Screen, styled

    table = Table()
    for name in columns:
        table.add_column(name, no_wrap=name == "name")
    for row in rows:
        table.add_row(*(styled("?" if row[name] is None else str(row[name])) for name in columns))
    Screen().print(table)
    if "drawn" in columns:
        from mmdbench.corruptions.installed import set_names

        say("drawn: fixed has no chance in it; random draws places, angles and the like from the seed.")
        say(f"Sets (--corruption-set): {', '.join(set_names())}.")
