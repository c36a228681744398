"""`mmdbench demo`: evaluate the small model `baseline` on the shipped benchmark `mini`."""

from __future__ import annotations

from pathlib import Path

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_run, say
from mmdbench.cli._shared.terminal import Terminal

__all__ = ["demo"]


def demo(out: opts.RunOut = Path("runs/demo"), quiet: opts.Quiet = False) -> None:
    """Evaluate a small model on clean and degraded photographs, in one to four minutes on two cores."""
    from mmdbench.library import evaluate

    say("160 questions about photographs, clean and at three severities, are asked of the model `baseline`:")
    say("a COCO detector, OCR and colour statistics. It is no VLM, and shows how an evaluation works.")
    say("")
    print_run(evaluate("baseline", "mini", out=out, progress=Terminal(quiet=quiet)))
