"""A model that records its requests, and a small run with it."""

from __future__ import annotations

from mmdbench.benches import open_bench
from mmdbench.models import ModelCard
from mmdbench.records import Outcome, RunPlan
from mmdbench.run.inputs import RunInputs, RunSettings
from mmdbench.run.runner import run_plan

CARD = ModelCard("toy", "toy")


class Recorder:
    """Answers B, and records its requests."""

    def __init__(self, name="toy", fail=lambda number: False, batch_size=1):
        self.name, self.fail, self.batch_size = name, fail, batch_size
        self.asked = []

    def fingerprint(self):
        return {"name": self.name}

    def generate(self, requests):
        outcomes = []
        for request in requests:
            self.asked.append(request)
            if self.fail(len(self.asked)):
                raise RuntimeError("out of memory")
            outcomes.append(Outcome("B"))
        return outcomes


_SETTINGS = RunSettings()


def toy_run(
    bench_path, folder, model=None, card=CARD, settings=_SETTINGS, on_progress=lambda _: None, **changes
):
    plan = RunPlan(model=card.name, benches=(str(bench_path),), **changes)
    bench = open_bench(bench_path)
    model = model or Recorder()
    return model, run_plan(RunInputs(plan, [bench], model, card, folder, settings), on_progress)
