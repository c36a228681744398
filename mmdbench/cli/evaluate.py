"""`mmdbench eval`: ask a model, grade its replies, print the drops."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.benches import Sources
from mmdbench.cli._shared.cards import chosen_card
from mmdbench.cli._shared.judging import refuse_unjudged, shown_by_report
from mmdbench.cli._shared.output import print_judge_usage, print_note, say
from mmdbench.cli._shared.progress import Bar
from mmdbench.cli._shared.run import ask_model, open_run, print_report, refuse_incomplete, show_forecast
from mmdbench.errors import IncompleteError, MmdbenchError, UsageError
from mmdbench.records import ANSWER, RunPlan
from mmdbench.system.bounds import require_between
from mmdbench.system.images import MAX_PIXELS

if TYPE_CHECKING:
    from mmdbench.benches.bench import Answers
    from mmdbench.results.judging.open import JudgeOptions
    from mmdbench.results.rescoring import Regraded
    from mmdbench.run.evaluate import Evaluation
    from mmdbench.run.inputs import RunInputs
    from mmdbench.run.summary import RunSummary

__all__ = ["evaluate"]


def evaluate(
    model: opts.Model,
    bench: opts.Benches,
    out: opts.RunOutOrNone = None,
    dry_run: opts.DryRun = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the dry run as JSON with unrounded numbers.")
    ] = False,
    quiet: opts.Quiet = False,
    sample: opts.Sample = "",
    target_ci: Annotated[
        float | None,
        opts.question_option(help="Add questions until the 95 % interval is ± this many points."),
    ] = None,
    task: Annotated[
        str,
        opts.question_option(
            help="Task: answer the benchmark's questions, or perceive the corruption and its strength."
        ),
    ] = ANSWER,
    family: opts.Family = "",
    data_dir: opts.DataDir = None,
    offline: opts.Offline = False,
    yes: opts.Yes = False,
    level: opts.Levels = "clean,low,mid,hard",
    design: opts.Design = "mixed",
    corruption: opts.Corruptions = None,
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
        list[Path] | None, opts.picture_option(help="TOML file with restorers; repeatable.")
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
    from mmdbench.benches import expand_benches
    from mmdbench.models.local_server import LocalServer
    from mmdbench.results.judging.open import JudgeOptions
    from mmdbench.run.budget import Budget
    from mmdbench.run.engines.settings import EngineSettings, read_gpus, read_runtime_env
    from mmdbench.run.evaluate import Evaluation
    from mmdbench.run.folder import default_folder
    from mmdbench.run.inputs import BatchSettings, RunSettings

    changes = [*(settings or ()), *([f"concurrency={concurrency}"] if concurrency else ())]
    card = chosen_card(model, model_card, changes)
    server = LocalServer(serve, card, serve_minutes) if serve else None
    card = server.card if server else card
    require_between("--max-error-rate", max_error_rate, 0, 1)
    plan = RunPlan(
        model=card.name,
        benches=expand_benches(bench),
        levels=opts.parse_levels(level),
        design=design,
        corruptions=opts.split_list(*(corruption or ())),
        sample=sample,
        seed=seed,
        profile=profile,
        codec=codec,
        protocol=protocol,
        extraction=extraction,
        max_error_rate=max_error_rate,
        restore=restore,
        restore_clean=restore_clean,
        degrade_again=degrade_again,
        task=task,
    )
    if target_ci is not None and task != ANSWER:
        raise UsageError(f"--target-ci is for the task {ANSWER}.", hint="Name a --sample.")
    where = EngineSettings(
        engine, read_gpus(gpus), processes, gpus_each, ray_address, read_runtime_env(runtime_env)
    )
    evaluation = Evaluation(
        plan,
        card,
        default_folder(plan) if out is None else out,
        RunSettings(
            budget=Budget(max_usd, max_minutes, max_requests),
            retry_errors=retry_errors,
            canary=canary,
            workers=workers,
            shard=opts.parse_shard(shard),
            on_bad_image=on_bad_image,
            max_pixels=max_pixels,
            fresh=fresh,
            max_age=opts.parse_age("--max-age", max_age),
            allow_model_change=allow_model_change,
            batch=BatchSettings() if batch else None,
        ),
        EngineSettings() if dry_run else where,
        restorer_cards=restore_card or (),
        data_dir=data_dir,
        keep_images=keep_images,
    )
    judged_by = None
    if judge:
        judged_by = JudgeOptions(
            judge,
            judge_heads,
            model_card or (),
            max_usd,
            on_usage=print_judge_usage,
            allow_model_change=allow_model_change,
        )
        _check_judge(judged_by, evaluation)
    elif judge_heads is not None:
        raise UsageError("--judge-heads needs a judge.", hint="Add --judge.")
    answers: Answers = "check" if task == ANSWER else "any"
    sources = Sources(data_dir, offline, family, answers, yes, dry_run)
    with server or nullcontext(), open_run(evaluation, sources, server, quiet=quiet) as inputs:
        if dry_run:
            show_forecast(inputs, as_json=as_json)
        elif target_ci is not None:
            _run_until_precise(inputs, target_ci, judged_by, quiet=quiet)
        else:
            _run_once(inputs, judged_by, quiet=quiet)


def _check_judge(judge: JudgeOptions, evaluation: Evaluation) -> None:
    """Refuse what no judge can be asked about, before the model is paid."""
    from mmdbench.results.judging.open import open_judge
    from mmdbench.run.budget import Budget
    from mmdbench.scoring import load_heads

    if evaluation.plan.task != ANSWER:
        raise UsageError(f"--judge is for the task {ANSWER}.")
    if evaluation.settings.shard[1] > 1:
        raise UsageError("A shard is not judged.", hint="Merge all shards, then: mmdbench score RUN --judge.")
    opened = open_judge(judge.name, judge.cards, Budget(usd=judge.max_usd))
    opened.close()
    for note in opened.card.notes:
        print_note(note)
    load_heads(judge.heads)


def _ask_judge(
    inputs: RunInputs, summaries: Sequence[RunSummary], judge: JudgeOptions | None, *, quiet: bool
) -> Regraded | None:
    """Let the judge grade what rules cannot, for what is left of the cost; not after a stopped run."""
    spent = sum(summary.usd for summary in summaries)
    left = None if judge is None or judge.max_usd is None else judge.max_usd - spent
    if judge is None or summaries[-1].stopped or (left is not None and left <= 0):
        return None
    from mmdbench.results.rescoring import regrade_and_save
    from mmdbench.scoring import Rules

    with Bar("Judge", quiet=quiet) as bar:
        options = replace(judge, max_usd=left, on_progress=bar.update)
        try:
            made, _ = regrade_and_save(inputs.folder, Rules("", ""), options)
        except MmdbenchError:
            print_report(inputs.folder)  # the model's replies are paid for, whatever the judge does
            raise
    return made


def _finish(inputs: RunInputs, summary: RunSummary, judged: Regraded | None, *, by_judge: bool) -> None:
    results = print_report(inputs.folder, judged.judged_by if judged else "")
    for line in shown_by_report(judged) if judged else ():
        say(line, err=True)
    refuse_incomplete(results, summary)
    if by_judge and judged is None:
        raise IncompleteError(
            f"The judge was not asked: {summary.stopped or '--max-usd is used up'}.",
            hint="Run the same command again, with more to spend if that is used up.",
        )
    if judged:
        refuse_unjudged([arm.score for arm in judged.arms])


def _run_once(inputs: RunInputs, judge: JudgeOptions | None, *, quiet: bool) -> None:
    summary = ask_model(inputs, quiet=quiet)
    if inputs.settings.shard[1] > 1:
        say(f"  {inputs.folder}: shard done; merge all shards with mmdbench merge")
        return
    judged = _ask_judge(inputs, [summary], judge, quiet=quiet)
    _finish(inputs, summary, judged, by_judge=judge is not None)


def _run_until_precise(inputs: RunInputs, target: float, judge: JudgeOptions | None, *, quiet: bool) -> None:
    from mmdbench.results.graded_run import load_results
    from mmdbench.results.precision import half_width_points, until_precise

    summaries: list[RunSummary] = []
    judged: list[Regraded | None] = []

    def carry_out(plan: RunPlan) -> float | None:
        # Only the first step starts a generation, and the others add to it.
        settings = inputs.settings
        if summaries:
            settings = replace(settings, fresh=False, max_age=None)
        summaries.append(ask_model(replace(inputs, plan=plan, settings=settings), quiet=quiet))
        judged.append(_ask_judge(inputs, summaries, judge, quiet=quiet))
        if summaries[-1].stopped:
            return None
        last = judged[-1]
        return half_width_points(load_results(inputs.folder, judged_by=last.judged_by if last else ""))

    for step in until_precise(inputs.plan, inputs.benches, target, carry_out):
        reached = "reached" if step.reached else "not yet"
        say(f"{step.questions} questions: ± {step.half_width:.2f} points ({reached})", err=True)
    _finish(inputs, summaries[-1], judged[-1], by_judge=judge is not None)
