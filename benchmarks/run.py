"""Run every benchmark of this folder: `python benchmarks/run.py [--smoke]`.

Each benchmark is a script of its own that prints a table and exits with an error if a ratio is
below its guard; `--smoke` runs them at small sizes, for CI.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

SCRIPTS = (
    *("mean_shift", "corruptions", "tsv", "build", "throughput", "engines", "kills"),
    *("startup", "page", "report"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small sizes, loose guards")
    parser.add_argument("--only", nargs="*", default=SCRIPTS, help="names of benchmarks")
    options = parser.parse_args()
    failed = []
    for name in options.only:
        start = time.monotonic()
        print(f"== {name}", flush=True)
        script = Path(__file__).with_name(f"{name}.py")
        done = subprocess.run([sys.executable, script, *(["--smoke"] if options.smoke else [])], check=False)
        print(f"   {time.monotonic() - start:.0f} s", flush=True)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"below their guard: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
