"""`mmdbench demo`: evaluate the small model `baseline` on the shipped benchmark `mini`."""

from __future__ import annotations

import shlex
from pathlib import Path

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_runs, say
from mmdbench.cli._shared.terminal import Terminal

__all__ = ["YOURS", "demo"]

YOURS = {
    "pictures": "mmdbench gallery PICTURE.jpg -o gallery.png",
    "model": "mmdbench eval --model openai:NAME@http://localhost:8000/v1 --bench mini -o runs/mine",
    "CI": "mmdbench check {run} --baseline baseline.json --accept",
}
"""The next commands; `{run}` is the folder of the demo."""


def demo(out: opts.RunOut = Path("runs/demo"), quiet: opts.Quiet = False) -> None:
    """Evaluate a small model on clean and degraded photographs, in one to five minutes on two free cores."""
    say("160 questions about photographs, clean and at three severities, are asked of the model `baseline`:")
    say("a COCO detector, OCR and colour statistics. It is no VLM, and shows how an evaluation works.")
    say(f"It takes one to five minutes on two free cores and writes to {out}.")
    say("")
    from mmdbench.library import evaluate  # after the lines above, so that they are there at once

    print_runs([evaluate("baseline", "mini", out=out, progress=Terminal(quiet=quiet))])
    say("")
    for whose, command in YOURS.items():
        say(f"Your {whose + ':':9} {command.format(run=shlex.quote(str(out)))}")
