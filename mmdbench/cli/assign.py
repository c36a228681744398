"""`mmdbench assign`: training data by CLEAR's recipe, from a base model's answers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.benches import Sources
from mmdbench.cli._shared.run import ask_model, open_run, refuse_incomplete
from mmdbench.errors import UsageError
from mmdbench.records import CLEAN, RECODED, RunPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmdbench.results.graded_run import RunResults
    from mmdbench.results.judging.model_judge import ModelJudge
    from mmdbench.run.inputs import RunInputs
    from mmdbench.training import Selection, TraceSet

__all__ = ["assign"]

_RECIPE = "Recipe"
_TRACES = "trace_journal.jsonl"


def assign(
    model: opts.Model,
    bench: opts.Benches,
    out: opts.RunOutOrNone = None,
    quiet: opts.Quiet = False,
    sample: opts.Sample = "",
    family: opts.Family = "",
    data_dir: opts.DataDir = None,
    offline: opts.Offline = False,
    level: opts.Levels = "low,mid,hard",
    corruption: opts.Corruptions = None,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
    codec: opts.Codec = "jpeg:95",
    clean_check: Annotated[
        bool,
        typer.Option(
            help="Leave out questions that the model gets wrong when clean.", rich_help_panel=_RECIPE
        ),
    ] = True,
    balance: Annotated[
        float,
        typer.Option(
            help="Generate-then-answer samples for each direct one; 0: keep all.", rich_help_panel=_RECIPE
        ),
    ] = 1.0,
    right_at: Annotated[
        float, typer.Option(help="Least grade of a right answer, from 0 to 1.", rich_help_panel=_RECIPE)
    ] = 1.0,
    trace: Annotated[
        str,
        typer.Option(
            help="Model that writes reasoning for each kept sample; named like a judge.",
            rich_help_panel=_RECIPE,
        ),
    ] = "",
    images: Annotated[bool, typer.Option(help="Write the pictures too.", rich_help_panel=_RECIPE)] = True,
    model_card: opts.ModelCards = None,
    settings: opts.CardSettings = None,
    judge: opts.Judge = "",
    max_usd: opts.MaxUsd = None,
    max_requests: opts.MaxRequests = None,
) -> None:
    """Make training data: assign each question a mode by a base model's answers.

    Right on the degraded picture: answer directly. Wrong: restore, then answer.

    Run the command again to resume.
    """
    from mmdbench.benches import expand_benches
    from mmdbench.models.cards import find_card, set_options
    from mmdbench.run.budget import Budget
    from mmdbench.run.evaluate import Evaluation
    from mmdbench.run.folder import default_folder
    from mmdbench.run.inputs import RunSettings
    from mmdbench.training import check_balance

    levels = opts.parse_levels(level)
    if {CLEAN, RECODED} & set(levels):
        raise UsageError(
            "An undegraded picture is no level to assign.",
            hint="Levels are low, mid and hard; the clean picture is asked with --clean-check.",
        )
    if balance:
        check_balance(balance)
    card = set_options(find_card(model, model_card or ()), settings or ())
    plan = RunPlan(
        model=card.name,
        benches=expand_benches(bench),
        levels=(CLEAN, *levels) if clean_check else levels,
        design="drawn",
        corruptions=opts.split_list(*(corruption or ())),
        sample=sample,
        seed=seed,
        profile=profile,
        codec=codec,
    )
    how = RunSettings(budget=Budget(max_usd, None, max_requests))
    folder = default_folder(plan) if out is None else out
    evaluation = Evaluation(plan, card, folder, how, data_dir=data_dir)
    rules = {"clean_check": clean_check, "balance": balance, "right_at": right_at, "seed": seed}
    with ExitStack() as stack:  # the judges first: a name that is none must not show after a paid run
        judges = (_judge(stack, judge, model_card or ()), _judge(stack, trace, model_card or ()))
        sources = Sources(data_dir, offline, family)
        inputs = stack.enter_context(open_run(evaluation, sources, quiet=quiet))
        summary = ask_model(inputs, quiet=quiet)
        results = _write(inputs, rules, judges, images=images, quiet=quiet)
    refuse_incomplete(results, summary)


def _judge(stack: ExitStack, name: str, files: Sequence[Path]) -> ModelJudge | None:
    from mmdbench.results.judging.open import open_judge

    if not name:
        return None
    judge = open_judge(name, files)
    stack.callback(judge.close)
    return judge


def _write(
    run: RunInputs,
    rules: dict[str, Any],
    judges: tuple[ModelJudge | None, ModelJudge | None],
    *,
    images: bool,
    quiet: bool,
) -> RunResults:
    from mmdbench.results.graded_run import load_results
    from mmdbench.results.judging.journal import JsonlJournal
    from mmdbench.run.folder import JUDGE_JOURNAL
    from mmdbench.system.locks import folder_lock
    from mmdbench.training import find_samples, select_samples, write_dataset

    grader, writer = judges
    with folder_lock(run.folder, "assigning samples"):
        journal = JsonlJournal(run.folder / JUDGE_JOURNAL) if grader else None
        results = load_results(run.folder, judge=grader, journal=journal)
        samples = find_samples(results, clean_check=rules["clean_check"], right_at=rules["right_at"])
        selection = select_samples(samples, balance=rules["balance"] or None, seed=rules["seed"])
        traces = _traces(run, selection, writer, quiet=quiet) if writer else None
        path = write_dataset(
            run.folder,
            selection,
            run.benches,
            traces=traces,
            rules={**rules, "judge": grader.id if grader else ""},
            pictures=images,
        )
    _say(selection, traces, path)
    return results


def _traces(run: RunInputs, selection: Selection, writer: ModelJudge, *, quiet: bool) -> TraceSet:
    from mmdbench.cli._shared.progress import Bar
    from mmdbench.results.judging.journal import JsonlJournal
    from mmdbench.training import TraceSet, TraceWriter

    questions = {(b.name, q.index): (q, b.family) for b in run.benches for q in b.questions}
    rows = [(s, *questions[s.cell.bench, s.cell.index]) for s in selection.kept]
    with Bar("Traces", quiet=quiet) as bar:
        made = TraceWriter(
            writer,
            JsonlJournal(run.folder / _TRACES),
            on_progress=lambda done, total: bar.update(done, total, ""),
        )
        return TraceSet(writer.id, {sample.cell: trace for sample, trace in made.write(rows)})


def _say(selection: Selection, traces: TraceSet | None, path: Path) -> None:
    kept = selection.kept
    modes = [f"{sum(s.mode == mode for s in kept)} {mode}" for mode in ("direct", "generate")]
    typer.echo(f"{len(kept)} of {len(selection.samples)} samples kept: {', '.join(modes)}")
    for reason, count in sorted(selection.left_out.items()):
        typer.echo(f"  {count} left out: {reason}")
    if traces is not None:
        good = sum(trace.status == "ok" for trace in traces.traces.values())
        typer.echo(f"  {good} of {len(traces.traces)} traces passed the checks")
    typer.echo(f"  {path}")
