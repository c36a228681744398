"""Benchmarks: from a name or a TSV file to questions and their images.

Start at `open_bench`. The catalogue (`catalog.toml`) describes each benchmark; a new one is a stanza
there. Nothing heavy is imported here: numpy and Pillow are loaded with the first image that is decoded,
and what downloads with `open_bench`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmdbench.benches.bench import Bench, build_prompt
from mmdbench.benches.catalog import BenchInfo, find_bench, get_bench_names
from mmdbench.system.images import decode_image

if TYPE_CHECKING:
    from mmdbench.benches.lookup import expand_benches, open_bench

__all__ = [
    "Bench",
    "BenchInfo",
    "build_prompt",
    "decode_image",
    "expand_benches",
    "find_bench",
    "get_bench_names",
    "open_bench",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mmdbench.benches import lookup

        return getattr(lookup, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
