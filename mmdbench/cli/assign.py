"""`mmdbench assign`: training data by CLEAR's recipe, which questions need a restoration first."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmdbench.cli._shared.benches import Sources
from mmdbench.cli._shared.run import Run, load_run, refuse_incomplete
from mmdbench.cli._shared.urls import BENCH, DATA_DIR, OUT
from mmdbench.cli.evaluate import parse_levels, run_folder, split_list
from mmdbench.errors import UsageError
from mmdbench.records import CLEAN, RECODED, RunPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmdbench.records import Cell
    from mmdbench.results.judging.judges import OpenAIJudge
    from mmdbench.results.results import RunResults
    from mmdbench.training import Choice, Trace

__all__ = ["assign"]

_RECIPE = "The recipe"
_MODEL = "The base model"
_TRACES = "trace_journal.jsonl"


def assign(
    model: Annotated[str, typer.Option(help="The base model's card; see: mmdbench list models")],
    bench: Annotated[
        list[str], typer.Option(parser=BENCH, help="Questions: a benchmark or a TSV file; repeatable.")
    ],
    level: Annotated[
        str, typer.Option(help="Levels, of which each question gets one.", rich_help_panel=_RECIPE)
    ] = "low,mid,hard",
    corruption: Annotated[
        str, typer.Option(help="Only these corruptions, with commas.", rich_help_panel=_RECIPE)
    ] = "",
    sample: Annotated[
        str, typer.Option(help="Only so many questions: 200, or 200/bench.", rich_help_panel=_RECIPE)
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed of every draw.", rich_help_panel=_RECIPE)] = 0,
    clean_check: Annotated[
        bool,
        typer.Option(help="Leave out what the model gets wrong when clean.", rich_help_panel=_RECIPE),
    ] = True,
    balance: Annotated[
        float,
        typer.Option(
            help="Generate-then-answer samples for each direct one; 0: all.", rich_help_panel=_RECIPE
        ),
    ] = 1.0,
    right_at: Annotated[
        float, typer.Option(help="What a judged answer must earn to be right.", rich_help_panel=_RECIPE)
    ] = 1.0,
    judge: Annotated[
        str, typer.Option(help="Who grades what no rule can: gpt-4.1, openai:<model>@<url>")
    ] = "",
    trace: Annotated[str, typer.Option(help="A judge that writes reasoning for each kept sample.")] = "",
    images: Annotated[bool, typer.Option(help="Write the pictures too.")] = True,
    profile: Annotated[str, typer.Option(help="paper or scaled")] = "paper",
    codec: Annotated[str, typer.Option(help="How degraded images are encoded.")] = "jpeg:95",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", parser=OUT, help="Folder of run and data set.")
    ] = None,
    family: Annotated[str, typer.Option(help="Family of a TSV file of your own.")] = "",
    data_dir: Annotated[Path | None, typer.Option(parser=DATA_DIR, help="Where benchmark files lie.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
    model_card: Annotated[
        list[Path] | None, typer.Option(help="TOML file with cards of your own.", rich_help_panel=_MODEL)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value: a field or option of the card.", rich_help_panel=_MODEL),
    ] = None,
    max_usd: Annotated[float | None, typer.Option(help="Stop at this cost.", rich_help_panel=_MODEL)] = None,
    max_requests: Annotated[
        int | None, typer.Option(help="Stop after this many requests.", rich_help_panel=_MODEL)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Ask a base model about degraded pictures and assign each question a mode; resumable like a run.

    Right on the degraded picture: answer directly. Wrong: restore, then answer.
    """
    from mmdbench.benches import expand_benches
    from mmdbench.models.cards import check_price, find_card, set_options
    from mmdbench.run.budget import Budget
    from mmdbench.run.runner import RunSettings
    from mmdbench.training import check_balance

    levels = parse_levels(level)
    if {CLEAN, RECODED} & set(levels):
        raise UsageError(
            "An undegraded picture is no level to assign.",
            hint="Levels are low, mid and hard; the clean picture is asked with --clean-check.",
        )
    if balance:
        check_balance(balance)
    card = set_options(find_card(model, model_card or ()), settings or ())
    check_price(card, max_usd)
    plan = RunPlan(
        model=card.name,
        benches=expand_benches(bench),
        levels=(CLEAN, *levels) if clean_check else levels,
        design="drawn",
        corruptions=split_list(corruption),
        sample=sample,
        seed=seed,
        profile=profile,
        codec=codec,
    )
    how = RunSettings(budget=Budget(max_usd, None, max_requests))
    folder = run_folder(plan) if out is None else out
    rules = {"clean_check": clean_check, "balance": balance, "right_at": right_at, "seed": seed}
    with ExitStack() as stack:  # the judges first: a name that is none must not show after a paid run
        judges = (_judge(stack, judge, model_card or ()), _judge(stack, trace, model_card or ()))
        sources = Sources(data_dir, offline, family)
        run = stack.enter_context(load_run(plan, card, sources, folder, how, quiet=quiet))
        summary = run.carry_out()
        results = _write(run, rules, judges, images=images)
    refuse_incomplete(results, summary)


def _judge(stack: ExitStack, name: str, files: Sequence[Path]) -> OpenAIJudge | None:
    from mmdbench.results.judging.judges import open_judge

    if not name:
        return None
    judge = open_judge(name, files)
    stack.callback(judge.close)
    return judge


def _write(
    run: Run, rules: dict[str, Any], judges: tuple[OpenAIJudge | None, OpenAIJudge | None], *, images: bool
) -> RunResults:
    from mmdbench.results.rescoring import JUDGE_JOURNAL
    from mmdbench.results.results import load_results
    from mmdbench.scoring import JsonlJournal
    from mmdbench.system.files import folder_lock
    from mmdbench.training import choose, find_samples, write_dataset

    grader, writer = judges
    with folder_lock(run.folder, "assigning samples"):
        journal = JsonlJournal(run.folder / JUDGE_JOURNAL) if grader else None
        results = load_results(run.folder, judge=grader, journal=journal)
        samples = find_samples(results, clean_check=rules["clean_check"], right_at=rules["right_at"])
        choice = choose(samples, balance=rules["balance"] or None, seed=rules["seed"])
        traces = _traces(run, choice, writer) if writer else None
        path = write_dataset(
            run.folder,
            choice,
            run.benches,
            traces=traces,
            judge=writer.id if writer else "",
            rules={**rules, "judge": grader.id if grader else ""},
            pictures=images,
        )
    _say(choice, traces, path)
    return results


def _traces(run: Run, choice: Choice, writer: OpenAIJudge) -> dict[Cell, Trace]:
    from mmdbench.cli._shared.progress import Bar
    from mmdbench.scoring import JsonlJournal
    from mmdbench.training import TraceWriter

    questions = {(b.name, q.index): (q, b.family) for b in run.benches for q in b.questions}
    rows = [(s, *questions[s.cell.bench, s.cell.index]) for s in choice.kept]
    with Bar("Traces", quiet=run.quiet) as bar:
        made = TraceWriter(
            writer,
            JsonlJournal(run.folder / _TRACES),
            on_progress=lambda done, total: bar.update(done, total, ""),
        )
        return {sample.cell: trace for sample, trace in made.write(rows)}


def _say(choice: Choice, traces: dict[Cell, Trace] | None, path: Path) -> None:
    kept = choice.kept
    modes = [f"{sum(s.mode == mode for s in kept)} {mode}" for mode in ("direct", "generate")]
    typer.echo(f"{len(kept)} of {len(choice.samples)} samples kept: {', '.join(modes)}")
    for reason, count in sorted(choice.left_out.items()):
        typer.echo(f"  {count} left out: {reason}")
    if traces is not None:
        good = sum(trace.status == "ok" for trace in traces.values())
        typer.echo(f"  {good} of {len(traces)} traces stood the checks")
    typer.echo(f"  {path}")
