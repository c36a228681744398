"""The options of `evaluate`, checked and made into a plan with its settings, before anything is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdbench.benches import expand_benches
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.errors import UsageError
from mmdbench.library.asking import require_ready
from mmdbench.library.given_models import AnyModel, GivenModel, given_model
from mmdbench.library.given_options import checked_options
from mmdbench.library.options import EvaluateOptions, chosen_levels
from mmdbench.library.sources import Sources, given_columns
from mmdbench.library.user_interface import UserInterface
from mmdbench.models.local_server import LocalServer
from mmdbench.records import ANSWER, CLEAN, LEVELS, PAPER_SET, RunPlan
from mmdbench.results.judging.open import JudgeOptions, open_judge
from mmdbench.run.budget import Budget
from mmdbench.run.engines.settings import EngineSettings, read_gpus, read_runtime_env
from mmdbench.run.evaluate import Evaluation
from mmdbench.run.folder import default_folder
from mmdbench.run.inputs import BatchSettings, RunSettings
from mmdbench.run.repeats import refuse_greedy
from mmdbench.scoring import load_heads
from mmdbench.system.bounds import require_between
from mmdbench.system.durations import parse_age
from mmdbench.system.images import MAX_PIXELS

__all__ = ["Prepared", "limited_settings", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An evaluation that is not opened yet.

    `server` serves the model while it is asked; `judge` grades the replies; samples grow until the interval
    is `target_ci` points wide on each side. In a `dry_run` the model is not asked.
    """

    evaluation: Evaluation
    given: GivenModel
    sources: Sources
    server: LocalServer | None
    judge: JudgeOptions | None
    target_ci: float | None
    dry_run: bool


def prepare(
    model: AnyModel,
    benches: Sequence[str | Path],
    options: EvaluateOptions,
    interface: UserInterface,
    *,
    dry_run: bool = False,
) -> Prepared:
    """Check the options of `evaluate` and make its plan; nothing is opened, downloaded or asked.

    Args:
        model: Everything that `evaluate` takes as a model.
        benches: Names of benchmarks and paths of TSV files.
        options: The options.
        interface: Shows the notes of a card, and a judge's progress and cost.
        dry_run: Only count the work.

    Returns:
        The evaluation.

    Raises:
        UsageError: An option is unknown, or has a value that it cannot have.
    """
    options = checked_options(options, EvaluateOptions, "evaluate")
    given = given_model(model, options, interface)
    command = options.get("serve", "")
    server = LocalServer(command, given.card, options.get("serve_minutes", 30.0)) if command else None
    given = replace(given, card=server.card if server else given.card)
    plan = _plan(given.card.name, benches, options)
    refuse_greedy(plan, given.card.generation)
    target = options.get("target_ci")
    if target is not None and plan.task != ANSWER:
        raise UsageError(f"--target-ci is for the task {ANSWER}.", hint="Name a --sample.")
    out = _path(options.get("out"))
    evaluation = Evaluation(
        plan,
        given.card,
        default_folder(plan, options.get("label", "")) if out is None else out,
        _run_settings(options, asked_anew=given.asked_anew),
        EngineSettings() if dry_run else _engine(options),
        restorer_cards=[Path(file) for file in options.get("restore_cards", ())],
        data_dir=_path(options.get("data_dir")),
        keep_images=options.get("keep_images", False),
    )
    sources = _sources(options, plan.task, dry_run=dry_run)
    judge = _judge(options, evaluation, interface)
    if not dry_run:
        require_ready(evaluation, judge, opened=given.loaded is not None or server is not None)
    return Prepared(evaluation, given, sources, server, judge, target, dry_run)


def _sources(options: EvaluateOptions, task: str, *, dry_run: bool) -> Sources:
    return Sources(
        _path(options.get("data_dir")),
        options.get("offline", False),
        options.get("family", ""),
        "check" if task == ANSWER else "any",
        options.get("yes", False),
        dry_run,
        _path(options.get("image_root")),
        given_columns(options.get("columns", ())),
    )


def _plan(model: str, benches: Sequence[str | Path], options: EvaluateOptions) -> RunPlan:
    rate = options.get("max_error_rate", 0.01)
    require_between("--max-error-rate", rate, 0, 1)
    sample = options.get("sample", "")
    return RunPlan(
        model=model,
        benches=expand_benches([str(bench) for bench in benches]),
        levels=chosen_levels(options.get("levels", (CLEAN, *LEVELS))),
        design=options.get("design", "mixed"),
        corruptions=use_corruptions(options.get("corruptions", ()), options.get("corruption_set", PAPER_SET)),
        sample=str(sample) if sample else "",
        seed=options.get("seed", 0),
        profile=options.get("profile", "paper"),
        codec=options.get("codec", "jpeg:95"),
        protocol=options.get("protocol", "clear/1"),
        extraction=options.get("extraction", "sane"),
        max_error_rate=rate,
        restore=options.get("restore", ""),
        restore_clean=options.get("restore_clean", True),
        degrade_again=options.get("degrade_again", False),
        task=options.get("task", ANSWER),
        repeat=options.get("repeat", 1),
    )


def _run_settings(options: EvaluateOptions, *, asked_anew: bool) -> RunSettings:
    budget = Budget(options.get("max_usd"), options.get("max_minutes"), options.get("max_requests"))
    return RunSettings(
        budget=budget,
        retry_errors=options.get("retry_errors", True),
        canary=options.get("canary", True),
        workers=options.get("workers", 0),
        shard=options.get("shard", (1, 1)),
        on_bad_image=options.get("on_bad_image", "count"),
        max_pixels=options.get("max_pixels", MAX_PIXELS),
        fresh=options.get("fresh", asked_anew),
        max_age=parse_age("--max-age", options.get("max_age")),
        allow_model_change=options.get("allow_model_change", False),
        batch=BatchSettings() if options.get("batch") else None,
        label=options.get("label", ""),
    )


def limited_settings(max_usd: float | None, max_requests: int | None, **more: Any) -> RunSettings:
    """Settings of a run with limits.

    Args:
        max_usd: Stop at this cost in US dollars.
        max_requests: Stop after this many requests.
        **more: Other fields of RunSettings.

    Returns:
        The settings.
    """
    return RunSettings(budget=Budget(max_usd, None, max_requests), **more)


def _engine(options: EvaluateOptions) -> EngineSettings:
    return EngineSettings(
        options.get("engine", "local"),
        read_gpus(options.get("gpus", "")),
        options.get("processes", 0),
        options.get("gpus_each", 0.0),
        options.get("ray_address", ""),
        read_runtime_env(_path(options.get("runtime_env"))),
    )


def _judge(options: EvaluateOptions, evaluation: Evaluation, interface: UserInterface) -> JudgeOptions | None:
    """The judge of the options. Raises for one that cannot be asked, before the model is paid."""
    name, heads = options.get("judge", ""), _path(options.get("judge_heads"))
    if not name:
        if heads is not None:
            raise UsageError("--judge-heads needs a judge.", hint="Add --judge.")
        return None
    if evaluation.plan.task != ANSWER:
        raise UsageError(f"--judge is for the task {ANSWER}.")
    if evaluation.settings.shard[1] > 1:
        raise UsageError("A shard is not judged.", hint="Merge all shards, then: mmdbench score RUN --judge.")
    judge = JudgeOptions(
        name,
        heads,
        [Path(file) for file in options.get("model_cards", ())],
        options.get("max_usd"),
        on_usage=interface.judge_usage,
        allow_model_change=options.get("allow_model_change", False),
    )
    opened = open_judge(judge.name, judge.cards, Budget(usd=judge.max_usd))
    opened.close()
    for note in opened.card.notes:
        interface.remark(note)
    load_heads(heads)
    return judge


def _path(place: str | Path | None) -> Path | None:
    return None if place is None else Path(place)
