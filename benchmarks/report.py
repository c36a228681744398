"""CPU time and memory of `report` and `compare` of large runs, beside reading six fields of each reply.

    python benchmarks/report.py [--smoke] [--replies N ...]

A run of `chance` is made: questions of one picture, four levels and as many replies as asked for; it is
compared with a copy of itself. The reference reads six fields of each line with Python's `json`, in a process
of its own, as both commands are. CPU seconds are user + system; memory is the process's peak. `--smoke` is
one small run, and fails if `report` takes more than twice the measured multiple of the reference.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

import mmdbench

SIZES = (20_000, 80_000, 320_000)
SMOKE, GUARD = 8_000, 34.0
"""Replies of the smoke run, and the most CPU time of its report as a multiple of the reference."""

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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="one small run; fails when far too slow")
    parser.add_argument("--replies", type=int, nargs="+", default=SIZES, help="numbers of replies")
    options = parser.parse_args()
    print("| replies | six fields with json, s | report, s | MiB | compare, s | MiB |")
    print("|---|---|---|---|---|---|")
    multiple = 0.0
    for replies in [SMOKE] if options.smoke else options.replies:
        with tempfile.TemporaryDirectory() as made:
            run = make_run(Path(made), replies)
            other = shutil.copytree(run, Path(made) / "other")
            reference, _ = measured("-c", REFERENCE, str(run / "replies-0.jsonl"))
            report, of_report = measured("-m", "mmdbench", "report", str(run))
            compare, of_compare = measured("-m", "mmdbench", "compare", str(run), str(other))
        multiple = report / reference
        print(f"| {replies:,} | {reference:.2f} | {report:.2f} | {of_report:.0f} ", end="")
        print(f"| {compare:.2f} | {of_compare:.0f} |", flush=True)
    if options.smoke and multiple > GUARD:
        print(f"report takes {multiple:.1f} times the reference, at most {GUARD} are allowed")
    return int(options.smoke and multiple > GUARD)


if __name__ == "__main__":
    sys.exit(main())
