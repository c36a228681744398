"""Benchmarks: from a name or a TSV file to questions and their images.

Start at `open_bench`. The catalogue (`catalog.toml`) describes each benchmark; a new one is a stanza
there. Nothing heavy is imported here: numpy and Pillow are loaded with the first image that is decoded.
"""

from __future__ import annotations

from mmdbench.benches.bench import Bench, build_prompt
from mmdbench.benches.catalog import BenchInfo, find_bench, get_bench_names
from mmdbench.benches.lookup import expand_benches, open_bench
from mmdbench.system.images import decode_image

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
