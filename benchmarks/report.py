"""CPU time and memory of `report` and `compare` of large runs, beside reading six fields of each reply.

    python benchmarks/report.py [--smoke] [--replies N ...]

A run of `chance` is made: questions of one picture, four levels and as many replies as asked for; it is
compared with a copy of itself. The reference reads six fields of each line with Python's `json`, in a process
of its own, as both commands are. CPU seconds are user + system; memory is the process's peak. `--smoke`
compares two small runs: what `report` takes for each further reply, start-up not counted, is a multiple of
what the reference takes, and fails if it is more than twice the measured one.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

import mmdbench

SIZES = (20_000, 80_000, 320_000)
SMOKE, REPEATS = (4_000, 16_000), 3
"""Replies of the smoke runs, and the calls of which the quickest counts."""
GUARD = 11.0
"""The largest multiple of the reference that a further reply may take: twice the measured 5.2."""

FIELDS = ("bench", "index", "level", "corruption", "status", "text")
REFERENCE = f"""
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    kept = [tuple(map(json.loads(line).get, {FIELDS!r})) for line in file]
"""


def make_run(folder: Path, replies: int) -> Path:
    """A run of that many replies under four levels."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(picture, "PNG")
    rows = ["index\tquestion\tA\tB\tC\tD\tanswer\tcategory\timage"]
    for i in range(replies // 4):
        image = "0" if i else base64.b64encode(picture.getvalue()).decode()
        rows.append(f"{i}\tWhat is in {i}?\tcat\tdog\tcow\thorse\t{'ABCD'[i % 4]}\tc{i % 12}\t{image}")
    bench = folder / f"of_{replies}.tsv"
    bench.write_text("\n".join(rows) + "\n")
    run = folder / f"run_{replies}"
    named = ["hsv_saturation", "scan_lines", "graffiti", "dark_illumination"]
    mmdbench.evaluate("chance", str(bench), out=run, progress=False, corruptions=named)
    return run


def measured(*words: str) -> tuple[float, float]:
    """CPU seconds and peak MiB of Python with some arguments."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(sys.executable, [sys.executable, *words], os.environ, file_actions=silent)
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(words)}")
    peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return used.ru_utime + used.ru_stime, peak


def compare_sizes(sizes: Sequence[int], repeats: int) -> list[tuple[float, float]]:
    """Print a row for each size; the least CPU seconds of the reference and of `report`."""
    print("| replies | six fields with json, s | report, s | MiB | compare, s | MiB |")
    print("|---|---|---|---|---|---|")
    found = []
    for replies in sizes:
        with tempfile.TemporaryDirectory() as made:
            run = make_run(Path(made), replies)
            other = shutil.copytree(run, Path(made) / "other")
            commands = (
                ("-c", REFERENCE, str(run / "replies-0.jsonl")),
                ("-m", "mmdbench", "report", str(run)),
                ("-m", "mmdbench", "compare", str(run), str(other)),
            )
            (reference, _), report, compare = (min(measured(*c) for _ in range(repeats)) for c in commands)
        found.append((reference, report[0]))
        print(f"| {replies:,} | {reference:.2f} | {report[0]:.2f} | {report[1]:.0f} ", end="")
        print(f"| {compare[0]:.2f} | {compare[1]:.0f} |", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="two small runs; fails when far too slow")
    parser.add_argument("--replies", type=int, nargs="+", default=SIZES, help="numbers of replies")
    options = parser.parse_args()
    found = compare_sizes(SMOKE if options.smoke else options.replies, REPEATS if options.smoke else 1)
    if not options.smoke:
        return 0
    small, large = found
    multiple = (large[1] - small[1]) / (large[0] - small[0])
    print(f"a further reply takes {multiple:.1f} times the reference; at most {GUARD} are allowed")
    return int(multiple > GUARD)


if __name__ == "__main__":
    sys.exit(main())
