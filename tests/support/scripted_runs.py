"""Small runs whose replies a test scripts, and the benchmarks that they are made of."""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from mmdbench.benches import open_bench
from mmdbench.models import ModelCard
from mmdbench.records import Outcome, RunPlan
from mmdbench.run.inputs import RunInputs
from mmdbench.run.runner import run_plan
from pictures import picture, png

IMAGE = base64.b64encode(png(picture(1, 24, 32))).decode()
CARD = ModelCard("toy/model", "toy")


def write_tsv(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    """A benchmark's file; every row has the same picture."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*columns, "image"], delimiter="\t", lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows({**row, "image": IMAGE} for row in rows)
    return path


class Scripted:
    """A model that replies what `script(request)` says: a text, or an Outcome."""

    def __init__(self, script: Callable[..., str | Outcome]) -> None:
        self.script = script

    def fingerprint(self):
        return {"name": "scripted"}

    def generate(self, requests):
        made = [self.script(request) for request in requests]
        return [m if isinstance(m, Outcome) else Outcome(m) for m in made]


def make_run(folder: Path, files: Sequence[Path], script: Callable[..., str | Outcome], **changes) -> Path:
    """Run a scripted model on benchmark files, clean and hard."""
    settings = {"levels": ("clean", "hard"), **changes}
    plan = RunPlan(model=CARD.name, benches=tuple(map(str, files)), **settings)
    run_plan(RunInputs(plan, [open_bench(path) for path in files], Scripted(script), CARD, folder))
    return folder
