"""`mmdbench eval`: ask a model, grade its replies, print the drops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_forecasts, print_runs, say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.cli._shared.urls import LOCAL, OUT
from mmdbench.records import ANSWER
from mmdbench.system.images import MAX_PIXELS

if TYPE_CHECKING:
    from mmdbench.library import EvaluateOptions

__all__ = ["evaluate"]


def evaluate(
    model: opts.Models,
    bench: opts.Benches,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", parser=OUT, help="Folder of the run; with several models one with a run of each."
        ),
    ] = None,
    label: opts.Labels = None,
    dry_run: opts.DryRun = False,
    as_json: opts.Json = False,
    quiet: opts.Quiet = False,
    sample: opts.Sample = "",
    target_ci: Annotated[
        float | None,
        opts.question_option(help="Add questions until the 95 % interval is ± this many points."),
    ] = None,
    repeat: Annotated[
        int,
        opts.question_option(
            help="Ask each question so often about the same pictures, at a temperature above 0."
        ),
    ] = 1,
    task: Annotated[
        str,
        opts.question_option(
            help="Task: answer the benchmark's questions, or perceive the corruption and its strength."
        ),
    ] = ANSWER,
    family: opts.Family = "",
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    column: opts.Columns = None,
    offline: opts.Offline = False,
    yes: opts.Yes = False,
    level: opts.Levels = opts.CLEAN_AND_DEGRADED,
    design: opts.Design = "mixed",
    corruption: opts.Corruptions = None,
    corruption_set: opts.CorruptionSet = opts.DEFAULT_SET,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
    codec: opts.Codec = "jpeg:95",
    restore: Annotated[
        str,
        opts.picture_option(
            help="Restorer to apply before the model sees a picture: opencv-nlmeans, module:function."
        ),
    ] = "",
    restore_card: Annotated[
        list[Path] | None, opts.picture_option(parser=LOCAL, help="TOML file with restorers; repeatable.")
    ] = None,
    restore_clean: Annotated[bool, opts.picture_option(help="Restore clean pictures too.")] = True,
    degrade_again: opts.DegradeAgain = False,
    model_card: opts.ModelCards = None,
    settings: opts.CardSettings = None,
    concurrency: Annotated[
        int | None, opts.model_option(help="Most requests to a server at the same time.")
    ] = None,
    canary: Annotated[
        bool, opts.model_option(help="Check first that a server answers about the pictures it is sent.")
    ] = True,
    batch: opts.Batch = False,
    keep_images: Annotated[
        bool,
        opts.model_option(
            "--keep-images",
            help="Keep the pictures that the model makes while it answers, in the run's folder.",
        ),
    ] = False,
    allow_model_change: opts.AllowModelChange = False,
    serve: Annotated[
        str,
        opts.model_option(
            help="Command that serves the model on this machine, started and ended by the run; {port} is a "
            "free port."
        ),
    ] = "",
    serve_minutes: Annotated[
        float, opts.model_option(help="Longest time in minutes until that server answers.")
    ] = 30.0,
    protocol: opts.Protocol = "clear/1",
    extraction: opts.Extraction = "sane",
    judge: opts.Judge = "",
    judge_heads: opts.JudgeHeads = None,
    max_usd: opts.MaxUsd = None,
    max_minutes: Annotated[float | None, opts.limit_option(help="Stop after this many minutes.")] = None,
    max_requests: opts.MaxRequests = None,
    max_error_rate: Annotated[
        float, opts.limit_option(help="Largest share of answers that a complete run may lack, from 0 to 1.")
    ] = 0.01,
    retry_errors: Annotated[
        bool, opts.limit_option(help="Ask again where an earlier request failed.")
    ] = True,
    on_bad_image: opts.OnBadImage = "count",
    max_pixels: opts.MaxPixels = MAX_PIXELS,
    fresh: Annotated[
        bool, opts.limit_option("--fresh", help="Ask everything again; earlier replies are kept.")
    ] = False,
    max_age: Annotated[
        str, opts.limit_option(help="Ask again for replies older than this: 12h, 7d; earlier ones are kept.")
    ] = "",
    shard: Annotated[str, opts.limit_option(help="Run only this part of the requests: 1/8 … 8/8.")] = "1/1",
    workers: opts.Workers = 0,
    engine: opts.Engine = "local",
    gpus: Annotated[str, opts.process_option(help="GPUs, with one process for each: 0,1,2,3.")] = "",
    processes: Annotated[int, opts.process_option(help="Number of processes that hold the model.")] = 0,
    gpus_each: Annotated[float, opts.process_option(help="GPUs that Ray reserves for each process.")] = 0.0,
    ray_address: opts.RayAddress = "",
    runtime_env: opts.RuntimeEnv = None,
) -> None:
    """Run a model on clean and degraded questions; run the command again to resume."""
    from mmdbench.system.durations import parse_age

    number, count = opts.parse_shard(shard)
    options: EvaluateOptions = {
        "out": out,
        "levels": opts.split_option(level),
        "sample": sample,
        "design": design,
        "corruptions": opts.split_option(corruption),
        "corruption_set": corruption_set,
        "seed": seed,
        "profile": profile,
        "codec": codec,
        "target_ci": target_ci,
        "repeat": repeat,
        "task": task,
        "family": family,
        "data_dir": data_dir,
        "image_root": image_root,
        "columns": column or (),
        "offline": offline,
        "yes": yes,
        "degrade_again": degrade_again,
        "restore": restore,
        "restore_cards": restore_card or (),
        "restore_clean": restore_clean,
        "model_cards": model_card or (),
        "settings": settings or (),
        "concurrency": concurrency,
        "canary": canary,
        "batch": batch,
        "keep_images": keep_images,
        "allow_model_change": allow_model_change,
        "serve": serve,
        "serve_minutes": serve_minutes,
        "protocol": protocol,
        "extraction": extraction,
        "judge": judge,
        "judge_heads": judge_heads,
        "max_usd": max_usd,
        "max_minutes": max_minutes,
        "max_requests": max_requests,
        "max_error_rate": max_error_rate,
        "retry_errors": retry_errors,
        "on_bad_image": on_bad_image,
        "max_pixels": max_pixels,
        "fresh": fresh,
        "max_age": parse_age("--max-age", max_age),
        "shard": (number, count),
        "workers": workers,
        "engine": engine,
        "gpus": gpus,
        "processes": processes,
        "gpus_each": gpus_each,
        "ray_address": ray_address,
        "runtime_env": runtime_env,
    }
    asked = _Asked(model, label or [], bench, options, Terminal(quiet=quiet), as_json)
    if dry_run:
        _print_forecasts(asked)
    else:
        _ask(asked)


@dataclass(frozen=True)
class _Asked:
    """The models and benchmarks of one command, with its options."""

    models: list[str]
    labels: list[str]
    bench: list[str]
    options: EvaluateOptions
    screen: Terminal
    as_json: bool

    @property
    def is_shard(self) -> bool:
        """True if only a part of the requests is sent, which has no report."""
        return self.options["shard"][1] > 1


def _print_forecasts(asked: _Asked) -> None:
    from mmdbench.library import forecast
    from mmdbench.library.several import label_of, options_of_each

    own = options_of_each(asked.models, asked.labels, asked.options)
    found = [
        (model, label_of(model, more), forecast(model, asked.bench, progress=asked.screen, **more))
        for model, more in zip(asked.models, own, strict=True)
    ]
    print_forecasts(found, as_json=asked.as_json)


def _ask(asked: _Asked) -> None:
    """Ask every model, then print one report of all; raise the first error at the end."""
    from mmdbench.library.several import evaluate_each

    runs, errors = [], []
    for made in evaluate_each(
        asked.models, asked.bench, labels=asked.labels, progress=asked.screen, **asked.options
    ):
        if made.run is not None:
            runs.append(made.run)
        if made.error is not None:
            errors.append(made.error)
            if len(asked.models) > 1:
                say(f"mmdbench: {made.label}: {made.error}", err=True)
    if asked.is_shard:
        for run in runs:
            say(f"  {run.folder}: shard done; merge all shards with mmdbench merge")
    elif runs:
        print_runs(runs, as_json=asked.as_json)
    if errors:
        raise errors[0]
