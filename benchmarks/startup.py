"""CPU time of short commands, from the start of Python to its end, beside those of Python alone and of typer.

    python benchmarks/startup.py [--smoke] [--lmms-eval PATH]

`report` is that of 160 replies: `mini` under one level. Every command runs in a process of its own, on a warm
disk and with compiled modules; CPU seconds are user + system, the least of repeats. `--lmms-eval` is the
command of lmms-eval in an environment of its own; `pip install --no-deps lmms-eval` is enough for its help.
`--smoke` repeats less, and fails if a command takes more than its guard.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

MMDBENCH = (sys.executable, "-m", "mmdbench")
GUARDS = {"--help": 2.5, "list corruptions": 5, "report of 160 replies": 12.5}
"""Most CPU time of a command, as a multiple of that of `import typer`: twice what was measured."""


def cpu_seconds(words: Sequence[str], environment: dict[str, str], repeats: int) -> float:
    """The least CPU seconds of a command; the first call, which fills caches, does not count."""
    times = []
    for _ in range(repeats + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times[1:])


def measure(folder: Path, repeats: int, lmms_eval: str | None) -> dict[str, float]:
    """CPU seconds of each command; `folder` is for the run and the compiled modules."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    run = str(folder / "run")
    asked = ("eval", "--model", "chance", "--bench", "mini", "--level", "clean", "-o", run, "--quiet")
    subprocess.run([*MMDBENCH, *asked], check=True, stdout=subprocess.DEVNULL, env=environment)
    commands = {
        "Python alone": (sys.executable, "-c", "pass"),
        "import typer": (sys.executable, "-c", "import typer"),
        "--help": (*MMDBENCH, "--help"),
        "list corruptions": (*MMDBENCH, "list", "corruptions"),
        "report of 160 replies": (*MMDBENCH, "report", run),
    }
    if lmms_eval:
        commands["lmms-eval --help"] = (lmms_eval, "--help")
    return {name: cpu_seconds(words, environment, repeats) for name, words in commands.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="few repeats; fails when far too slow")
    parser.add_argument("--lmms-eval", help="the command of lmms-eval in an environment of its own")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), 3 if chosen.smoke else 10, chosen.lmms_eval)
    alone, typer = found["Python alone"], found["import typer"]
    print("| | CPU s | above Python alone | ÷ import typer |\n|---|---|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.3f} | {seconds - alone:.3f} | {seconds / typer:.1f} |")
    slow = [name for name, guard in GUARDS.items() if found[name] > guard * typer]
    if chosen.smoke and slow:
        print(f"too slow: {', '.join(slow)}")
    return 1 if chosen.smoke and slow else 0


if __name__ == "__main__":
    sys.exit(main())
