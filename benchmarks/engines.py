"""Efficiency of several workers with a model of fixed latency, and overhead per request of each engine.

Pictures are tiny and the model only waits, so that the time of handing out requests and collecting
replies is measured. The efficiency is (requests × latency / workers) / wall time, from the first
request to the last reply, once every worker has answered something. The overhead per request is
measured with a latency of 0. Ray is left out if it is not installed.

    python benchmarks/engines.py [--smoke]
"""

from __future__ import annotations

import argparse
import base64
import csv
import io
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mmdbench.benches import open_bench
from mmdbench.models import open_model
from mmdbench.models.cards import ModelCard
from mmdbench.records import RunPlan
from mmdbench.run.engines.settings import EngineSettings, open_pool
from mmdbench.run.inputs import RunInputs
from mmdbench.run.runner import run_plan

LEAST_EFFICIENCY = 0.9


def bench_of(rows, folder):
    """A benchmark of questions with a picture of 8×8 px."""
    from PIL import Image

    path = folder / f"tiny{rows}.tsv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "question", "A", "B", "answer", "category", "image"])
        for number in range(rows):
            buffer = io.BytesIO()
            Image.new("RGB", (8, 8), (number % 256, number // 256, 9)).save(buffer, "PNG")
            image = base64.b64encode(buffer.getvalue()).decode()
            writer.writerow([number, f"Question {number}?", "yes", "no", "A", "c", image])
    return open_bench(path)


@dataclass
class Clock:
    """Times of a run's first and last progress report, in seconds."""

    begun: float = 0.0
    last: float = 0.0

    def see(self, _progress):
        self.last = time.perf_counter()
        self.begun = self.begun or self.last

    @property
    def seconds(self):
        """The time between both."""
        return self.last - self.begun


def measure(engine, latency, requests, folder):
    """Seconds per request, from the first progress report to the last reply."""
    card = ModelCard("chance", "chance", options={"seconds": latency})
    with ExitStack() as stack:
        logs = Path(tempfile.mkdtemp(dir=folder))
        model = stack.enter_context(open_pool(card, engine, logs)) if engine else open_model(card)
        if engine:
            warm_up(model, card, folder)
        clock = Clock()
        ask(model, card, requests, folder, clock.see)
    return clock.seconds / requests


def ask(model, card, requests, folder, see=lambda _: None):
    """Run some number of requests, in a folder of its own."""
    bench = bench_of(requests, folder)
    plan = RunPlan(model="chance", benches=(str(bench.path),), levels=("clean",))
    run_plan(RunInputs(plan, [bench], model, card, Path(tempfile.mkdtemp(dir=folder))), see)


def warm_up(pool, card, folder):
    """Ask until every worker has answered, because the start of workers is not measured."""
    deadline = time.monotonic() + 300
    while not all(pool.report()["replies"].values()):
        if time.monotonic() > deadline:
            raise SystemExit("Not every worker has answered within five minutes.")
        ask(pool, card, 4 * len(pool.report()["replies"]), folder)


def scaling(name, make, latency, counts, per_worker, folder):
    """Print a row for each number of workers; returns the lowest efficiency."""
    worst = 1.0
    for count in counts:
        each = measure(make(count), latency, per_worker * count, folder)
        efficiency = latency / count / each
        worst = min(worst, efficiency)
        print(
            f"{name:>6}  {count} workers  {1 / each:7.1f} requests/s  efficiency {efficiency:.3f}", flush=True
        )
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--smoke", action="store_true", help="few workers and requests, loose guards")
    options = parser.parse_args()
    counts = (1, 2) if options.smoke else (1, 2, 4, 8)
    latency, per_worker, many = (0.2, 12, 60) if options.smoke else (0.5, 24, 1000)
    engines = {"local": lambda count: EngineSettings(processes=count)}
    if find_spec("ray"):
        for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
            os.environ.setdefault(name, "0")
        engines["ray"] = lambda count: EngineSettings(engine="ray", processes=count)
    else:
        print("Ray is not installed: only the local engine is measured")
    worst = 1.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"latency {latency:g} s, {per_worker} requests a worker; {os.cpu_count()} cores")
        for engine, make in engines.items():
            worst = min(worst, scaling(engine, make, latency, counts, per_worker, folder))
        print(f"overhead of a request, latency 0, {many} requests:")
        for engine, settings in {"none": None, **{n: make(1) for n, make in engines.items()}}.items():
            print(f"{engine:>6}  {1000 * measure(settings, 0.0, many, folder):.2f} ms", flush=True)
    least = 0.5 if options.smoke else LEAST_EFFICIENCY
    if worst < least:
        print(f"efficiency {worst:.2f} is below {least}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
