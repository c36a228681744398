"""`mmdbench eval`: ask a model, grade it, print the drops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared.benches import Sources
from mmdbench.cli._shared.run import (
    Run,
    load_run,
    print_report,
    refuse_incomplete,
    run_and_report,
    show_forecast,
)
from mmdbench.cli._shared.urls import BENCH, DATA_DIR, OUT
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import ANSWER, CLEAN, LEVELS, RECODED, RunPlan
from mmdbench.system.bounds import require_between

if TYPE_CHECKING:
    from mmdbench.run.runner import RunSummary

__all__ = ["evaluate", "parse_levels", "print_report", "run_and_report", "run_folder", "split_list"]

_ANSWERING = ("model", "design", "corruptions", "seed", "profile", "codec")
_ASKED = "What is asked"
_MODEL = "The model"
_LIMITS = "Limits"
_WHERE = "Where it runs"


def evaluate(
    model: Annotated[str, typer.Option(help="A model card's name; see: mmdbench list models")],
    bench: Annotated[
        list[str],
        typer.Option(parser=BENCH, help="A benchmark, a set such as mmd, or a TSV file; repeatable."),
    ],
    level: Annotated[
        str, typer.Option(help="clean, recoded, low, mid, hard", rich_help_panel=_ASKED)
    ] = "clean,low,mid,hard",
    design: Annotated[
        str, typer.Option(help="mixed, grid, balanced:K, drawn or released", rich_help_panel=_ASKED)
    ] = "mixed",
    corruption: Annotated[
        str, typer.Option(help="Only these corruptions, with commas.", rich_help_panel=_ASKED)
    ] = "",
    sample: Annotated[
        str, typer.Option(help="Only so many questions: 200, or 200/bench.", rich_help_panel=_ASKED)
    ] = "",
    task: Annotated[
        str,
        typer.Option(
            help="answer the benchmark's questions, or perceive: which corruption, how strong?",
            rich_help_panel=_ASKED,
        ),
    ] = ANSWER,
    target_ci: Annotated[
        float | None,
        typer.Option(help="Add questions until the interval is ± this many points.", rich_help_panel=_ASKED),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of layouts, designs and samples.", rich_help_panel=_ASKED)
    ] = 0,
    profile: Annotated[str, typer.Option(help="paper or scaled", rich_help_panel=_ASKED)] = "paper",
    codec: Annotated[
        str,
        typer.Option(help="How degraded images are encoded: jpeg:Q, webp:Q, png", rich_help_panel=_ASKED),
    ] = "jpeg:95",
    restore: Annotated[
        str,
        typer.Option(
            help="Restore pictures before the model sees them: opencv-nlmeans, module:function …",
            rich_help_panel=_ASKED,
        ),
    ] = "",
    restore_card: Annotated[
        list[Path] | None, typer.Option(help="TOML file with restorers.", rich_help_panel=_ASKED)
    ] = None,
    restore_clean: Annotated[
        bool, typer.Option(help="Restore clean pictures too.", rich_help_panel=_ASKED)
    ] = True,
    protocol: Annotated[
        str, typer.Option(help="clear/1 or vlmevalkit/1", rich_help_panel=_ASKED)
    ] = "clear/1",
    extraction: Annotated[
        str, typer.Option(help="Answer extraction: sane, clear or none", rich_help_panel=_ASKED)
    ] = "sane",
    out: Annotated[Path | None, typer.Option("-o", "--out", parser=OUT, help="Folder of the run.")] = None,
    family: Annotated[str, typer.Option(help="Family of a TSV file of your own.")] = "",
    data_dir: Annotated[Path | None, typer.Option(parser=DATA_DIR, help="Where benchmark files lie.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
    model_card: Annotated[
        list[Path] | None, typer.Option(help="TOML file with cards of your own.", rich_help_panel=_MODEL)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="key=value: a field or option of the model's card.", rich_help_panel=_MODEL
        ),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="The most requests at once to a server.", rich_help_panel=_MODEL)
    ] = None,
    canary: Annotated[
        bool,
        typer.Option(help="Check that a server answers from its own pictures.", rich_help_panel=_MODEL),
    ] = True,
    keep_images: Annotated[
        bool,
        typer.Option(
            "--keep-images",
            help="Keep the pictures that the model makes on the way, in the run's folder.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    engine: Annotated[
        str, typer.Option(help="Where the model works: local or ray.", rich_help_panel=_WHERE)
    ] = "local",
    gpus: Annotated[
        str, typer.Option(help="A process for each of these GPUs: 0,1,2,3.", rich_help_panel=_WHERE)
    ] = "",
    processes: Annotated[
        int, typer.Option(help="So many processes that hold the model.", rich_help_panel=_WHERE)
    ] = 0,
    gpus_each: Annotated[
        float, typer.Option(help="GPUs that Ray reserves for each process.", rich_help_panel=_WHERE)
    ] = 0.0,
    ray_address: Annotated[
        str,
        typer.Option(help="A running Ray cluster; else RAY_ADDRESS, else one here.", rich_help_panel=_WHERE),
    ] = "",
    runtime_env: Annotated[
        Path | None,
        typer.Option(
            help="YAML file: what Ray prepares on its nodes (pip, env_vars …).", rich_help_panel=_WHERE
        ),
    ] = None,
    max_usd: Annotated[float | None, typer.Option(help="Stop at this cost.", rich_help_panel=_LIMITS)] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop after this time.", rich_help_panel=_LIMITS)
    ] = None,
    max_requests: Annotated[
        int | None,
        typer.Option(help="Stop after this many requests, retries included.", rich_help_panel=_LIMITS),
    ] = None,
    max_error_rate: Annotated[
        float,
        typer.Option(help="The share of answers that a complete run may lack.", rich_help_panel=_LIMITS),
    ] = 0.01,
    retry_errors: Annotated[
        bool, typer.Option(help="Ask again what failed before.", rich_help_panel=_LIMITS)
    ] = True,
    shard: Annotated[
        str, typer.Option(help="Only this part of the requests: 1/8 … 8/8.", rich_help_panel=_LIMITS)
    ] = "1/1",
    workers: Annotated[
        int, typer.Option(help="Threads that make pictures; 0: by the cores.", rich_help_panel=_LIMITS)
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked and what it would cost.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the dry run as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Run a model on clean and degraded questions; the same command goes on where it stopped."""
    from mmdbench.benches import expand_benches
    from mmdbench.models.cards import check_price, find_card, set_options
    from mmdbench.run.budget import Budget
    from mmdbench.run.engines.settings import EngineSettings, read_gpus, read_runtime_env
    from mmdbench.run.folder import IMAGES
    from mmdbench.run.runner import RunSettings
    from mmdbench.scoring.tasks import find_task

    changes = [*(settings or ()), *([f"concurrency={concurrency}"] if concurrency else ())]
    card = set_options(find_card(model, model_card or ()), changes)
    check_price(card, max_usd)
    require_between("--max-error-rate", max_error_rate, 0, 1)
    plan = RunPlan(
        model=card.name,
        benches=expand_benches(bench),
        levels=parse_levels(level),
        design=design,
        corruptions=split_list(corruption),
        sample=sample,
        seed=seed,
        profile=profile,
        codec=codec,
        protocol=protocol,
        extraction=extraction,
        max_error_rate=max_error_rate,
        restore=restore,
        restore_clean=restore_clean,
        task=task,
    )
    own_rules = find_task(task)
    if own_rules:
        if target_ci is not None:
            raise UsageError(f"--target-ci is for the task {ANSWER}.", hint="Name a --sample.")
        plan = replace(plan, protocol=own_rules.protocol)
    how = RunSettings(
        budget=Budget(max_usd, max_minutes, max_requests),
        retry_errors=retry_errors,
        canary=canary,
        workers=workers,
        shard=parse_shard(shard),
    )
    folder = run_folder(plan) if out is None else out
    if keep_images:
        # Absolute, because a manifest shortens such paths: shards in folders of their own stay one run.
        card = set_options(card, [f"keep_images={folder.resolve() / IMAGES}"])
    sources = Sources(data_dir, offline, family)
    where = EngineSettings(
        engine, read_gpus(gpus), processes, gpus_each, ray_address, read_runtime_env(runtime_env)
    )
    with load_run(
        plan,
        card,
        sources,
        folder,
        how,
        quiet=quiet,
        restorer_cards=restore_card or (),
        engine=where if where.apart and not dry_run else None,
    ) as run:
        if dry_run:
            show_forecast(run, as_json=as_json)
        elif target_ci is not None:
            _run_until_precise(run, target_ci)
        else:
            _run_once(run)


def _run_once(run: Run) -> None:
    summary = run.carry_out()
    if run.settings.shard[1] > 1:
        typer.echo(f"  {run.folder}: shard done; put all shards together with mmdbench merge")
        return
    refuse_incomplete(print_report(run.folder), summary)


def _run_until_precise(run: Run, target: float) -> None:
    from mmdbench.results.precision import half_width_points, until_precise
    from mmdbench.results.results import load_results

    summaries: list[RunSummary] = []

    def carry_out(plan: RunPlan) -> float | None:
        summaries.append(run.carry_out(plan))
        return None if summaries[-1].stopped else half_width_points(load_results(run.folder))

    for step in until_precise(run.plan, run.benches, target, carry_out):
        reached = "reached" if step.reached else "not yet"
        typer.echo(f"{step.questions} questions: ± {step.half_width:.2f} points ({reached})", err=True)
    refuse_incomplete(print_report(run.folder), summaries[-1])


def run_folder(plan: RunPlan) -> Path:
    """Where a run lies if nobody says: named by what changes its replies, so that a larger sample,
    another level or another protocol goes on in the same folder.
    """
    from mmdbench.system.digest import value_digest

    # Runs without a restorer or a task keep the names that they had before there were any.
    keys = (*_ANSWERING, "restore", "restore_clean") if plan.restore else _ANSWERING
    keys = keys if plan.task == ANSWER else (*keys, "task")
    answering = {key: value for key, value in plan.as_dict().items() if key in keys}
    benches = "+".join(Path(name).stem for name in plan.benches)
    digest = value_digest({**answering, "benches": list(plan.benches)})[:8]
    safe = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in f"{plan.model}_{benches}_{plan.design}")
    return Path("runs") / f"{safe[:80]}_{digest}"


def parse_shard(text: str) -> tuple[int, int]:
    """`3/8` → (3, 8)."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise UsageError(f"Cannot read the shard {text!r}.", hint="Write 1/8 … 8/8.")
    return int(number), int(count)


def parse_levels(text: str) -> tuple[str, ...]:
    """`clean,hard` → the levels in their order; each once."""
    known = (CLEAN, RECODED, *LEVELS)
    wanted = split_list(text)
    for name in wanted:
        if name not in known:
            raise UnknownNameError("level", name, known)
    if not wanted:
        raise UsageError("No level to run.", hint=f"Name some of {', '.join(known)}.")
    return tuple(name for name in known if name in wanted)


def split_list(text: str) -> tuple[str, ...]:
    """`a, b` → ("a", "b"); empty parts are left out."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
