"""`mmdbench train`: the trainings of CLEAR and Robust-R1."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_json, say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.cli._shared.urls import LOCAL
from mmdbench.errors import UsageError
from mmdbench.system.durations import duration

__all__ = ["train"]


def train(
    kind: Annotated[str, typer.Argument(help="clear-sft, clear-grpo, robust-r1-sft or robust-r1-grpo.")],
    config: Annotated[
        Path,
        typer.Option(
            "--config", parser=LOCAL, help="YAML file with preset, model, data and settings; or tiny."
        ),
    ],
    out: opts.FilesOutOrNone = None,
    log_to: Annotated[
        str, typer.Option("--log-to", help="Also log to wandb, mlflow, trackio or tensorboard.")
    ] = "",
    dry_run: opts.DryRun = False,
    as_json: opts.Json = False,
    quiet: opts.Quiet = False,
) -> None:
    """Train CLEAR or Robust-R1; run the command again to resume.

    Presets are listed by: mmdbench list presets
    """
    from mmdbench.library import training

    if dry_run:
        _print_forecast(training.forecast_training(kind, config).record(), as_json=as_json)
        return
    if out is None:
        raise UsageError("A training needs a folder.", hint="Name it with -o.")
    last = training.train(kind, config, out, log_to=log_to or None, progress=Terminal(quiet=quiet or as_json))
    if as_json:
        print_json({"checkpoint": str(last), "log": str(out / training.LOG_FILE)})
        return
    say(f"  {last}")
    say(f"  {out / training.LOG_FILE}")
    family = "clear:" if kind.startswith("clear-") else "hf:"
    more = "" if kind.startswith("clear-") else " --set family=robust-r1"
    say(f"Next: mmdbench eval --model {family}{last}{more} --bench mini")


def _print_forecast(found: dict[str, float], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    say(f"parameters  {found['trained_parameters']:,} trained, {found['frozen_parameters']:,} frozen")
    say(f"work        {found['steps']:,} steps of about {found['tokens_per_step']:,} tokens")
    gpus = found["gpus"]
    share = f"{found['state_gib_per_gpu']:.3g} GiB on each of {gpus} GPUs" if gpus > 1 else "on one GPU"
    say(f"memory      {found['state_gib']:.3g} GiB for weights, gradients and optimiser, {share},")
    say("            and activations on top")
    say(f"time        about {duration(found['hours'] * 3600)}, reading and generating texts not counted")
