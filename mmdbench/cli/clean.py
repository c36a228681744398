"""`mmdbench clean`: list caches and free them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_json, say

__all__ = ["clean"]


def clean(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Caches to free, or all; none to list them."),
    ] = None,
    as_json: opts.Json = False,
) -> None:
    """List the caches of mmdbench with their sizes, and free those that are named.

    Benchmarks, runs and work that was not uploaded are never removed.
    """
    from mmdbench.library.downloads import size_text
    from mmdbench.system.caches import free_caches, list_caches

    if names:
        freed = free_caches(names)
        if as_json:
            print_json([asdict(one) for one in freed])
            return
        for one in freed:
            say(f"{one.name}: {size_text(one.bytes)} freed")
            for line in one.kept:
                say(f"  kept {line}.", err=True)
        return
    found = list_caches()
    if as_json:
        print_json([{**asdict(cache), "path": str(cache.path)} for cache in found])
        return
    for cache in found:
        say(f"{cache.name:>8}  {size_text(cache.bytes):>9}  {cache.holds}: {cache.path}")
    say("Free some: mmdbench clean NAME, or: mmdbench clean all")
