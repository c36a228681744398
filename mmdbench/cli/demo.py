"""`mmdbench demo`: evaluate the small model `baseline` on the shipped benchmark `mini`."""

from __future__ import annotations

from pathlib import Path

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.records import RunPlan

__all__ = ["demo"]


def demo(out: opts.RunOut = Path("runs/demo"), quiet: opts.Quiet = False) -> None:
    """Evaluate a small model on clean and degraded photographs, in one to four minutes on two cores."""
    from mmdbench.cli._shared.benches import Sources
    from mmdbench.cli._shared.run import ask_model, open_run, print_report
    from mmdbench.models.cards import find_card
    from mmdbench.run.evaluate import Evaluation

    say("160 questions about photographs, clean and at three severities, are asked of the model `baseline`:")
    say("a COCO detector, OCR and colour statistics. It is no VLM, and shows how an evaluation works.")
    say("")
    card = find_card("baseline")
    evaluation = Evaluation(RunPlan(model=card.name, benches=("mini",)), card, out)
    with open_run(evaluation, Sources(), quiet=quiet) as inputs:
        ask_model(inputs, quiet=quiet)
    print_report(out)
