"""`mmdbench score`: grade a run again, or predictions made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.urls import BENCH, OUT
from mmdbench.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from mmdbench.results.graded_arms import Judging
    from mmdbench.results.rescoring import Regraded, RowChange
    from mmdbench.scoring import Rules, Score

__all__ = ["score"]

_COUNTS = ("planned", "answered", "resolved", "refused", "unresolved", "judged", "judge_failed", "truncated")
_FAULTS = ("missing", "error", "empty", "inference_failed")
_SHOWN = 20


def score(
    run: Annotated[Path | None, typer.Argument(parser=OUT, help="Folder of a run.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="File of predictions made elsewhere: .xlsx, .tsv, .json, .jsonl.")
    ] = None,
    bench: Annotated[
        str, typer.Option(parser=BENCH, help="Benchmark of the predictions, or its TSV file.")
    ] = "",
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out questions without a prediction.")
    ] = False,
    against: Annotated[
        Path | None, typer.Option(help="Earlier grades to compare with (default: the run's own rules).")
    ] = None,
    as_json: opts.Json = False,
    quiet: opts.Quiet = False,
    family: opts.Family = "",
    data_dir: opts.DataDir = None,
    offline: opts.Offline = False,
    protocol: opts.Protocol = "",
    extraction: opts.Extraction = "",
    io: Annotated[
        str,
        typer.Option(
            "--io",
            help="Reading of replies: literal, or compat with VLMEvalKit's spreadsheets.",
            rich_help_panel=opts.GRADING,
        ),
    ] = "literal",
    judge: opts.Judge = "",
    judge_heads: Annotated[
        Path | None,
        typer.Option(
            help="VLMEvalKit's judge prompts: a wheel, a checkout or a folder of texts.",
            rich_help_panel=opts.GRADING,
        ),
    ] = None,
    on_unresolved: Annotated[
        str,
        typer.Option(
            help="Grade of rows the judge cannot settle: miss or random.", rich_help_panel=opts.GRADING
        ),
    ] = "miss",
    seed: opts.Seed = 0,
    model_card: opts.ModelCards = None,
    max_usd: opts.MaxUsd = None,
) -> None:
    """Grade a stored run, or predictions made elsewhere, under other rules.

    Prints the rows whose grade changed, and writes the grades into the folder of the run.
    """
    if (run is None) == (predictions is None):
        raise UsageError(
            "Nothing to score." if run is None else "A run and predictions are scored one at a time.",
            hint="Name a run's folder, or --predictions FILE --bench NAME.",
        )
    from mmdbench.scoring import Rules

    if on_unresolved != "miss" and not judge:
        raise UsageError("--on-unresolved is about what a judge cannot settle.", hint="Add --judge.")
    rules = Rules(protocol, extraction, io, on_unresolved, seed)
    judged_by = _JudgeOptions(judge, judge_heads, model_card or (), max_usd)
    if run is not None:
        if partial or bench:
            raise UsageError("--bench and --partial go with --predictions.")
        _score_run(run, rules, judged_by, against, as_json=as_json, quiet=quiet)
        return
    assert predictions is not None
    if not bench:
        raise UsageError("The predictions' benchmark is not named.", hint="Add --bench NAME.")
    from mmdbench.cli._shared.benches import Sources, open_benches

    (opened,) = open_benches([bench], Sources(data_dir, offline, family), quiet=quiet or as_json)
    _score_file(predictions, opened, rules, judged_by, partial=partial, as_json=as_json, quiet=quiet)


@dataclass(frozen=True, slots=True)
class _JudgeOptions:
    """The options that name a judge, its prompts and its cards, and the most that it may cost."""

    name: str
    heads: Path | None
    cards: Sequence[Path]
    max_usd: float | None


def _score_run(
    run: Path, asked: Rules, judge: _JudgeOptions, against: Path | None, *, as_json: bool, quiet: bool
) -> None:
    from mmdbench.results.arms import read_plan
    from mmdbench.results.rescoring import record_judge, regrade, write_regraded
    from mmdbench.run.folder import JUDGE_JOURNAL
    from mmdbench.system.locks import folder_lock

    read_plan(run)  # a folder that is no run is refused before it is locked
    locked = folder_lock(run, "running a model or asking a judge") if judge.name else nullcontext()
    with locked, _judging(judge, run / JUDGE_JOURNAL, run, quiet=quiet or as_json) as judging:
        made = regrade(run, asked, judging=judging, against=against)
        record_judge(made)
    written = write_regraded(made)
    if as_json:
        typer.echo(json.dumps(made.as_dict(), indent=1, ensure_ascii=False))
    else:
        _print_scores([(_arm_name(arm.level, arm.corruption), arm.score) for arm in made.arms])
        _print_changes(made)
        for path in written:
            typer.echo(f"  {path}")
    _refuse_silence([arm.score for arm in made.arms])


def _score_file(
    path: Path,
    bench: Any,
    asked: Rules,
    judge: _JudgeOptions,
    *,
    partial: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from dataclasses import replace

    from mmdbench.results.rescoring import score_predictions
    from mmdbench.scoring import DEFAULT_PROTOCOL

    rules = replace(asked, protocol=asked.protocol or DEFAULT_PROTOCOL, extraction=asked.extraction or "sane")
    journal = path.with_name(f"{path.name}.judge.jsonl")
    with _judging(judge, journal, quiet=quiet or as_json) as judging:
        made = score_predictions(path, bench, rules, judging, partial=partial)
    if as_json:
        typer.echo(json.dumps({"kind": "mmdbench score", **made.as_dict()}, indent=1, ensure_ascii=False))
    else:
        _print_scores([(path.name, made)])
    _refuse_silence([made])


@contextmanager
def _judging(
    options: _JudgeOptions, journal: Path, run: Path | None = None, *, quiet: bool
) -> Iterator[Judging | None]:
    if not options.name:
        if options.heads is not None:
            raise UsageError("--judge-heads goes with --judge.")
        if options.max_usd is not None:
            raise UsageError("--max-usd is the cost of a judge.", hint="Add --judge.")
        yield None
        return
    from mmdbench.cli._shared.progress import Bar
    from mmdbench.results.graded_arms import Judging
    from mmdbench.results.judging.journal import JsonlJournal
    from mmdbench.results.judging.open import open_judge
    from mmdbench.results.judging.usage import record_usage
    from mmdbench.run.budget import Budget, stopped_by_ctrl_c
    from mmdbench.scoring import load_heads

    judge = open_judge(options.name, options.cards, Budget(usd=options.max_usd))
    try:
        with Bar(f"Asking {judge.id}", quiet=quiet) as bar, stopped_by_ctrl_c(judge.spending):
            yield Judging(judge, load_heads(options.heads), JsonlJournal(journal), on_progress=bar.update)
    finally:
        judge.close()
        usage = judge.usage()
        if usage["requests_sent"]:
            typer.echo(_usage_line(usage), err=True)
            if run is not None:
                record_usage(run, usage)


def _usage_line(usage: Mapping[str, Any]) -> str:
    tokens = usage["tokens"]
    return (
        f"mmdbench: judge {usage['judge']}: {usage['requests_sent']} requests, {tokens['read']} tokens read, "
        f"{tokens['written']} written, ${usage['cost_usd']:.4g}"
    )


def _print_scores(scores: Sequence[tuple[str, Score]]) -> None:
    first = scores[0][1]
    typer.echo(
        f"protocol {first.protocol} · extraction {first.extraction} · io {first.io} · {_judged(first)}"
    )
    for name, made in scores:
        least = f"{_points(made.headline)} {made.metric}, at most {_points(made.upper_bound)}"
        typer.echo(f"{made.bench} {name}: {least}")
        typer.echo(f"  {_counted(made.counts)}")
        if len(made.metrics) > 1:
            typer.echo(f"  {_spelled(made.metrics)}")
    for line in dict.fromkeys(_notes(scores)):
        typer.echo(line)


def _counted(counts: Mapping[str, int]) -> str:
    shown = {name: f"{counts[name]} {name.replace('_', ' ')}" for name in _COUNTS}
    rest = [f"{counts[name]} {name.replace('_', ' ')}" for name in _FAULTS if counts[name]]
    return ", ".join([*shown.values(), *rest])


def _notes(scores: Sequence[tuple[str, Score]]) -> Iterator[str]:
    for _, made in scores:
        for head in made.judge_record.get("prompts", ()):
            yield f"Judge prompt {head['id']}, SHA-256 {head['sha256'][:12]}…" + (
                "" if head["comparable"] else ": our own wording, NOT COMPARABLE"
            )
        if made.partial:
            yield f"{made.bench}: partial, only questions with a prediction are scored."
        yield from (f"Note: {warning}" for warning in made.warnings)


def _judged(made: Score) -> str:
    if made.judge is None:
        return "no judge"
    record = made.judge_record
    temperatures = ", ".join(f"{t:g}" for t in dict.fromkeys(record["temperatures"]))
    random = " · unresolved: random" if made.on_unresolved == "random" else ""
    return f"judge {made.judge} at temperature {temperatures}, {record['max_tokens']} tokens{random}"


def _print_changes(made: Regraded) -> None:
    planned = sum(arm.score.counts["planned"] for arm in made.arms)
    typer.echo(f"{len(made.changes)} of {planned} rows are graded otherwise than under {made.against}.")
    for change in made.changes[:_SHOWN]:
        typer.echo(f"  {_change(change)}")
    if len(made.changes) > _SHOWN:
        typer.echo(
            f"  … and {len(made.changes) - _SHOWN} more: --json shows all, and so does the score's file."
        )


def _change(change: RowChange) -> str:
    cell, before, after = change.cell, change.before, change.after
    where = f"{cell.bench} {cell.index!r} {_arm_name(cell.level, cell.corruption)}"
    sides = (f"{g.label or '–'} {g.verdict} ({g.stage})" for g in (before, after))
    return f"{where}: {' → '.join(sides)}"


def _refuse_silence(scores: Sequence[Score]) -> None:
    dead = sum(grade.stage == "judge_error" for made in scores for grade in made.grades)
    if dead:
        raise IncompleteError(
            f"The judge could not be asked about {dead} rows, which count as misses.",
            hint="Run the same command again: only they are asked about.",
        )


def _arm_name(level: str, corruption: str | None) -> str:
    return f"{level} {corruption}" if corruption else level


def _points(value: float | None) -> str:
    from mmdbench.report.tables.rounding import fixed

    return "–" if value is None else fixed(value, 2)


def _spelled(metrics: Mapping[str, Any]) -> str:
    parts = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            inner = ", ".join(f"{key} {_points(number)}" for key, number in value.items())
            parts.append(f"{name}: {inner}")
        elif isinstance(value, int):
            parts.append(f"{name} {value}")
        elif value is None or isinstance(value, float):
            parts.append(f"{name} {_points(value)}")
    return "; ".join(parts)
