"""`mmdbench score`: grade a run again, or predictions made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.benches.catalog import bench_title
from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.completion import complete_runs
from mmdbench.cli._shared.output import print_json, print_paths, say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.cli._shared.urls import BENCH, LOCAL, OUT
from mmdbench.errors import UsageError
from mmdbench.library.judging import refuse_unjudged

if TYPE_CHECKING:
    from mmdbench.library.rescoring import Regraded, RegradedRun, RowChange, ScoredParts
    from mmdbench.scoring import Score

__all__ = ["score"]

_SHOWN = 20


def score(
    run: Annotated[
        Path | None, typer.Argument(parser=OUT, help="Folder of a run.", autocompletion=complete_runs)
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(parser=LOCAL, help="File of predictions made elsewhere: .xlsx, .tsv, .json, .jsonl."),
    ] = None,
    bench: Annotated[
        str | None, typer.Option(parser=BENCH, help="Benchmark of the predictions, or its TSV file.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out questions without a prediction.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(parser=LOCAL, help="Earlier grades to compare with (default: the run's own rules)."),
    ] = None,
    as_json: opts.Json = False,
    quiet: opts.Quiet = False,
    family: opts.Family = "",
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    offline: opts.Offline = False,
    protocol: opts.Protocol = "",
    extraction: opts.Extraction = "",
    io: Annotated[
        str,
        opts.grading_option(
            "--io", help="Reading of replies: literal, or compat with VLMEvalKit's spreadsheets."
        ),
    ] = "literal",
    judge: opts.Judge = "",
    judge_heads: opts.JudgeHeads = None,
    on_unresolved: Annotated[
        str, opts.grading_option(help="Grade of rows the judge cannot settle: miss or random.")
    ] = "miss",
    default: Annotated[
        bool,
        opts.grading_option(
            "--default", help="Let report, check and cite show this judge from now on; no judge: none."
        ),
    ] = False,
    seed: opts.Seed = 0,
    model_card: opts.ModelCards = None,
    max_usd: opts.MaxUsd = None,
    allow_model_change: opts.AllowModelChange = False,
) -> None:
    """Grade a stored run, or predictions made elsewhere, under other rules.

    Prints the rows whose grade changed, and writes the grades into the folder of the run.
    """
    if (run is None) == (predictions is None):
        raise UsageError(
            "Either a run or --predictions must be given, and not both.",
            hint="Name a run's folder, or --predictions FILE --bench NAME.",
        )
    if run is not None and (partial or bench):
        raise UsageError("--bench and --partial need --predictions.")
    if predictions is not None and default:
        raise UsageError("--default needs a run.")
    if predictions is not None and not bench:
        raise UsageError("--predictions needs a benchmark.", hint="Add --bench NAME.")
    without = {
        "--judge-heads": judge_heads is not None,
        "--max-usd": max_usd is not None,
        "--on-unresolved": on_unresolved != "miss",
    }
    for option, given in without.items():
        if given and not judge:
            raise UsageError(f"{option} needs a judge.", hint="Add --judge.")
    from mmdbench.library.rescoring import JudgeOptions, rescore, score_file
    from mmdbench.library.sources import Sources
    from mmdbench.scoring import Rules

    rules = Rules(protocol, extraction, io, on_unresolved, seed)
    screen = Terminal(quiet=quiet or as_json)
    judged_by = None
    if judge:
        judged_by = JudgeOptions(
            judge, judge_heads, model_card or (), max_usd, allow_model_change=allow_model_change
        )
    if run is not None:
        made = rescore(run, rules, judged_by, against=against, default=default, interface=screen)
        _print_run(made, as_json=as_json)
    elif predictions is not None:
        sources = Sources(data_dir, offline, family, image_root=image_root)
        scored = score_file(
            predictions, bench or "", rules, judged_by, sources=sources, partial=partial, interface=screen
        )
        _print_predictions(predictions, scored, as_json=as_json)


def _print_run(made: RegradedRun, *, as_json: bool) -> None:
    if as_json:
        print_json(made.as_dict())
    else:
        _print_notes(made.notes if not made.settled else ())
        _print_scores(made.scores)
        _print_notes(made.notes if made.settled else ())
        _print_changes(made.regraded)
        print_paths(made.files)
    for line in made.shown_by_report():
        say(line, err=True)
    made.require_judged()


def _print_predictions(path: Path, made: Score, *, as_json: bool) -> None:
    from mmdbench.library.rescoring import ScoredParts

    if as_json:
        print_json({"kind": "mmdbench score", **made.as_dict()})
    else:
        _print_scores(ScoredParts.of_predictions(path, made))
        _print_notes(made.warnings)
    refuse_unjudged([made])


def _print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        say(f"Note: {note}")


def _print_scores(scores: ScoredParts) -> None:
    from mmdbench.library.screen import Screen
    from mmdbench.scoring import extraction_version

    made = [part.score for part in scores.parts]
    read_by = extraction_version(made[0].extraction)
    say(f"protocol {made[0].protocol} · extraction {read_by} · io {made[0].io} · {_judged(made[0])}")
    Screen().print(scores.table())
    say(f"{scores.counted()}.")
    for line in dict.fromkeys(_remarks(made)):
        say(line)


def _remarks(scores: Sequence[Score]) -> Iterator[str]:
    for made in scores:
        for head in made.judge_record.get("prompts", ()):
            yield f"Judge prompt {head['id']}, SHA-256 {head['sha256'][:12]}…" + (
                "" if head["comparable"] else ": our own wording, NOT COMPARABLE"
            )
        if made.partial:
            yield f"{bench_title(made.bench)}: partial, only questions with a prediction are scored."


def _judged(made: Score) -> str:
    if made.judge is None:
        return "no judge"
    record = made.judge_record
    temperatures = ", ".join(f"{t:g}" for t in dict.fromkeys(record["temperatures"]))
    random = " · unresolved: random" if made.on_unresolved == "random" else ""
    untaken = " and no ".join(record.get("not_taken", ()))
    untaken = f" (which takes no {untaken})" if untaken else ""
    return f"judge {made.judge} at temperature {temperatures}, {record['max_tokens']} tokens{untaken}{random}"


def _print_changes(made: Regraded) -> None:
    planned = sum(arm.score.counts["planned"] for arm in made.arms)
    say(f"{len(made.changes)} of {planned} rows are graded otherwise than under {made.against}.")
    for change in made.changes[:_SHOWN]:
        say(f"  {_change(change)}")
    if len(made.changes) > _SHOWN:
        say(f"  … and {len(made.changes) - _SHOWN} more; --json and the file of scores list all.")


def _change(change: RowChange) -> str:
    cell, before, after = change.cell, change.before, change.after
    where = f"{bench_title(cell.bench)} {cell.index!r} {_name(cell.level, cell.corruption, cell.repeat)}"
    sides = (f"{g.label or '–'} {g.verdict} ({g.stage})" for g in (before, after))
    return f"{where}: {' → '.join(sides)}"


def _name(level: str, corruption: str | None, repeat: int) -> str:
    return " ".join(filter(None, (level, corruption, f"repeat {repeat}" if repeat > 1 else "")))
