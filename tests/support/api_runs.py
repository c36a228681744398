"""A run of one benchmark against a server on this machine."""

from __future__ import annotations

from mmdbench.benches import open_bench
from mmdbench.models import open_model
from mmdbench.records import RunPlan
from mmdbench.run.inputs import RunInputs, RunSettings
from mmdbench.run.runner import run_plan


def run(path, folder, card, levels=("clean",), on_progress=lambda _: None, **settings):
    plan = RunPlan(model=card.name, benches=(str(path),), levels=levels)
    made = RunSettings(**{"canary": False, **settings})
    return run_plan(RunInputs(plan, [open_bench(path)], open_model(card), card, folder, made), on_progress)
