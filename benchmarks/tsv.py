"""CPU time and peak memory of reading a benchmark's TSV, against pandas' python engine.

    python benchmarks/tsv.py [--smoke] [--rows-mb 256] [--memory-mb 1024]

Both sides read every image cell of the same file as text, once; neither decodes base64. Each
runs in a process of its own; CPU seconds are user + system, peak memory is the resident set
above that after the imports. `--smoke` uses small files, and fails if the ratio or the memory is
beyond its guard.
"""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = """
from mmdbench.benches.bench import read_bench
from pathlib import Path
def work(path):
    bench = read_bench(Path(path))
    return len(bench.questions), sum(len(bench.rows[q.index].raw("image")) for q in bench.questions)
"""

SCAN_ONLY = """
from mmdbench.benches.bench import read_bench
from pathlib import Path
def work(path):
    return len(read_bench(Path(path)).questions), 0
"""

DECODED = """
from mmdbench.benches.bench import read_bench
from pathlib import Path
def work(path):
    bench = read_bench(Path(path))
    return len(bench.questions), sum(len(q.images[0].read()) for q in bench.questions)
"""

PANDAS = """
import csv, sys
import pandas
csv.field_size_limit(sys.maxsize)
def work(path):
    frame = pandas.read_csv(path, sep="\\t", engine="python")
    return len(frame), sum(map(len, frame["image"]))
"""

MEASURE = """
import resource, sys, time
unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
before, start = peak(), time.process_time()
result = work(sys.argv[1])
print(time.process_time() - start, peak() - before, *result)
"""


def write_table(path: Path, megabytes: int, *, picture_kb: int = 150) -> None:
    """A TSV shaped like MMBench: twelve columns, some quoted cells, pictures of random bytes."""
    names = [
        "index",
        "question",
        "hint",
        "A",
        "B",
        "C",
        "D",
        "answer",
        "category",
        "source",
        "split",
        "image",
    ]
    written, index = 0, 0
    with path.open("wb") as file:
        file.write("\t".join(names).encode() + b"\n")
        while written < megabytes << 20:
            size = (picture_kb << 10) * (50 + index * 37 % 100) // 100
            picture = base64.b64encode(os.urandom(size * 3 // 4))
            question = (
                f'"What is ""shown"" in\npicture {index}?"' if index % 5 == 0 else f"What is in {index}?"
            )
            cells = [
                str(index),
                question,
                "",
                "a cat",
                "None",
                "007",
                "a tree",
                "A",
                "scene",
                "made up",
                "dev",
            ]
            row = "\t".join(cells).encode() + b"\t" + picture + b"\n"
            written += file.write(row)
            index += 1


def measure(code: str, path: Path) -> tuple[float, float, tuple[int, int]]:
    """CPU seconds, MiB above the imports, and the counts of a reader, in a process of its own."""
    command = [sys.executable, "-c", code + MEASURE, str(path)]
    root = Path(__file__).parents[1]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=root).stdout.split()
    return float(output[0]), float(output[1]), (int(output[2]), int(output[3]))


def best(code: str, path: Path, repeats: int) -> tuple[float, float, tuple[int, int]]:
    return min(measure(code, path) for _ in range(repeats))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small files; fails when far too slow")
    parser.add_argument("--rows-mb", type=int, default=256, help="size of the file for the comparison")
    parser.add_argument("--memory-mb", type=int, default=1024, help="size of the file for peak memory")
    chosen = parser.parse_args()
    size, large = (48, 96) if chosen.smoke else (chosen.rows_mb, chosen.memory_mb)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.tsv"
        write_table(path, size)
        theirs = best(PANDAS, path, 2)
        print(f"| {size} MiB, {theirs[2][0]} rows | CPU s | ratio | MiB above import |\n|---|---|---|---|")
        ours = best(OURS, path, 3)
        assert ours[2] == theirs[2], "both must read the same cells"
        for name, (seconds, memory, _) in {
            "pandas, python engine": theirs,
            "mmdbench, scan and every image cell": ours,
            "mmdbench, scan": best(SCAN_ONLY, path, 3),
            "mmdbench, scan and decode base64": best(DECODED, path, 3),
        }.items():
            print(f"| {name} | {seconds:.2f} | {theirs[0] / seconds:.1f} | {memory:.0f} |")
        write_table(path, large)
        seconds, memory, _ = measure(OURS, path)
        print(f"| mmdbench, {large} MiB file | {seconds:.2f} | | {memory:.0f} |")
    ratio = theirs[0] / ours[0]
    if chosen.smoke and (ratio < 3 or memory > 100):
        print(f"too slow or too large: ratio {ratio:.1f} (wanted 3), {memory:.0f} MiB (wanted 100)")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
