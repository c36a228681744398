"""CPU time of a page of 160 replies with pictures, beside that of the evaluation that made them.

    python benchmarks/page.py [--smoke]

40 questions of `mini`, whose pictures are photographs, at four levels, answered by `chance`. The first page
makes small pictures, but for the few that so quick an evaluation leaves; the second takes them from it.
CPU seconds are those of one process, imports not counted. `--smoke` fails if a page takes far too long.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import mmdbench

GUARDS = {"the first page": 2.8, "a page again": 0.3}
"""Most CPU time of a page, as a multiple of that of the evaluation: twice what was measured."""


def measure(folder: Path) -> dict[str, float]:
    """CPU seconds of the evaluation and of two pages in a new folder, each with its imports done before."""
    found: dict[str, float] = {}
    for place in ("warm", "measured"):  # the first round imports and compiles
        began = time.process_time()
        run = mmdbench.evaluate("chance", "mini", out=folder / place, sample=40, progress=False)
        found["the evaluation"] = time.process_time() - began
        for name in GUARDS:
            began = time.process_time()
            run.page(folder / "page.html")
            found[name] = time.process_time() - began
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="fail when far too slow")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    print("| | CPU s | ÷ evaluation |\n|---|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.2f} | {seconds / found['the evaluation']:.2f} |")
    slow = [name for name, guard in GUARDS.items() if found[name] > guard * found["the evaluation"]]
    if chosen.smoke and slow:
        print(f"too slow: {', '.join(slow)}")
    return 1 if chosen.smoke and slow else 0


if __name__ == "__main__":
    sys.exit(main())
