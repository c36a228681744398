"""Whether a plan can be carried out at all: asked before anything long starts."""

from __future__ import annotations

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import RunPlan
from mmdbench.scoring import EXTRACTIONS, get_protocol
from mmdbench.scoring.tasks import find_task
from mmdbench.variants.codec import parse_codec
from mmdbench.variants.design import parse_design, parse_sample

__all__ = ["check_plan"]


def check_plan(plan: RunPlan) -> None:
    """Raise UsageError or UnknownNameError for the first thing in the plan that does not exist."""
    spec = load_spec()
    parse_design(plan.design)
    parse_sample(plan.sample)
    parse_codec(plan.codec)
    task = find_task(plan.task)
    if task is None:
        get_protocol(plan.protocol)
    else:
        task.check(plan)
    if plan.extraction not in EXTRACTIONS:
        raise UnknownNameError("answer extraction", plan.extraction, EXTRACTIONS)
    for name in plan.corruptions:
        if name not in spec.corruptions:
            raise UnknownNameError("corruption", name, spec.corruptions, see="mmdbench list corruptions")
    if len(set(plan.corruptions)) < len(plan.corruptions):
        raise UsageError("A corruption is named twice.")
    if plan.profile not in spec.profiles:
        raise UnknownNameError("profile", plan.profile, spec.profiles)
    if not plan.benches:
        raise UsageError("No benchmark to run.", hint="Name one: --bench mini. See: mmdbench list benches")
