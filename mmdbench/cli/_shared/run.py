"""A run for a verb: its progress, its warnings and its report."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from mmdbench.cli._shared.benches import Sources, open_benches
from mmdbench.cli._shared.output import print_freshness, print_json, print_paths, say
from mmdbench.errors import IncompleteError
from mmdbench.system.durations import duration

if TYPE_CHECKING:
    from mmdbench.models.cards import ModelCard
    from mmdbench.models.local_server import LocalServer
    from mmdbench.models.registry import Fingerprinted
    from mmdbench.results.graded_run import RunResults
    from mmdbench.run.evaluate import Evaluation
    from mmdbench.run.inputs import RunInputs
    from mmdbench.run.summary import RunProgress, RunSummary

__all__ = ["ask_model", "open_run", "print_report", "refuse_incomplete", "show_forecast"]


def open_run(
    evaluation: Evaluation, sources: Sources, server: LocalServer | None = None, *, quiet: bool
) -> AbstractContextManager[RunInputs]:
    """Open an evaluation: download what is missing, with progress, and with consent above 1 GB.

    Args:
        evaluation: The plan and its settings.
        sources: The places of the benchmarks.
        server: The server of the model, which is started once all else is open; not for a dry run.
        quiet: Show no progress.

    Returns:
        A context manager that yields the opened inputs of the run.
    """
    from mmdbench.cli._shared.downloads import Fetching
    from mmdbench.run.evaluate import Missing, open_evaluation
    from mmdbench.run.folder import LOGS

    fetching = Fetching(sources.yes, sources.offline, sources.dry_run, quiet)

    def fetch_model(card: ModelCard) -> Fingerprinted | None:
        if server is not None and not sources.dry_run:
            server.start(evaluation.folder / LOGS / "server.log", _say)
        return fetching.model(card)

    missing = Missing(fetching.released, fetch_model)
    return open_evaluation(evaluation, lambda names: open_benches(names, sources, quiet=quiet), missing)


def _say(sentence: str) -> None:
    say(f"mmdbench: {sentence}", err=True)


def ask_model(inputs: RunInputs, *, quiet: bool) -> RunSummary:
    """Ask for every missing reply, with a progress bar; warnings go to standard error."""
    from mmdbench.cli._shared.progress import Bar
    from mmdbench.run.runner import run_plan

    with Bar(f"{inputs.card.name} on {', '.join(b.name for b in inputs.benches)}", quiet=quiet) as bar:

        def show(progress: RunProgress) -> None:
            if progress.note:
                say(f"mmdbench: {progress.note}.", err=True)
            bar.update(progress.done, progress.total, _note(progress))

        summary = run_plan(inputs, show)
    report = _workers(summary, inputs.folder)
    for what in (report, summary.alarm, summary.stopped and f"stopped: {summary.stopped}"):
        if what:
            say(f"mmdbench: {what}", err=True)
    return summary


def print_report(folder: Path, judge: str = "") -> RunResults:
    """Grade the run, write its report and print it with the places of its files.

    `judge` names a judge of the run to show; files are only written of the run's default.
    """
    from mmdbench.cli._shared.screen import Screen
    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.report.render.console import console
    from mmdbench.report.render.report_files import write_report
    from mmdbench.report.tables.collect import make_tables
    from mmdbench.results.graded_run import load_results
    from mmdbench.results.judging.asked import default_judge

    results = load_results(folder, judged_by=judge)
    tables = make_tables([results], load_spec())
    Screen().print(console(tables))
    print_freshness([results])
    usual = default_judge(results.manifest)
    if not judge or (usual and usual.name == judge):
        print_paths(write_report(folder, results, tables))
    return results


def refuse_incomplete(results: RunResults, summary: RunSummary) -> None:
    """Raise IncompleteError if more answers are missing, or not asked again, than the plan allows."""
    from mmdbench.results.freshness import stale_problem

    why = f" The run stopped: {summary.stopped}." if summary.stopped else ""
    if results.complete:
        problem = stale_problem(results)
        if problem:
            raise IncompleteError(f"{problem}{why}")
        return
    raise IncompleteError(
        f"{results.planned - results.unanswered} of {results.planned} planned requests are answered, "
        f"and --max-error-rate allows at most {results.plan.max_error_rate:.1%} missing.{why}",
        hint=_remedy(results),
    )


def _remedy(results: RunResults) -> str:
    count = results.without_picture
    lack = "answers lack" if count != 1 else "answer lacks"
    pictures = (
        f"{count} {lack} a picture that can be read: mend the file, or allow more with --max-error-rate."
    )
    again = "Run the same command again to ask what is missing."
    return " ".join([pictures] * (count > 0) + [again] * (count < results.unanswered))


def show_forecast(inputs: RunInputs, *, as_json: bool) -> None:
    """Print the forecast of a run; the model is not asked."""
    from mmdbench.run.forecast import forecast

    found = forecast(inputs)
    if as_json:
        from dataclasses import asdict

        print_json({**asdict(found), "to_ask": found.to_ask})
        return
    price = inputs.card.price
    if price and inputs.settings.batch:
        price = price.in_batch()
    questions = ", ".join(f"{name} {count}" for name, count in found.questions.items())
    cost = "unknown: the model card has no price" if found.usd is None else f"{found.usd:,.2f} US dollars"
    if price and found.usd is not None:
        cost += f" at {price}" + (" in batches" if inputs.settings.batch else "")
    rows = {
        "requests": f"{found.requests:,}",
        "already answered": f"{found.answered:,}",
        "to ask": f"{found.to_ask:,} with {found.images:,} images",
        **({"canary": f"{found.canary:,} requests with a picture each"} if found.canary else {}),
        "tokens": f"{found.tokens_read:,} read, {found.tokens_written:,} written",
        "cost": cost,
        "time": "unknown" if found.seconds is None else duration(found.seconds),
        "basis": found.basis,
        "questions": questions,
        "95 % interval": f"± {found.score:.1f} points on a score of a half",
    }
    if found.drop is not None:
        rows["… of a drop"] = f"± {found.drop:.1f} points, if one answer in ten flips"
    for name, value in rows.items():
        say(f"{name:>17}  {value}")


def _workers(summary: RunSummary, folder: Path) -> str:
    """Replies by worker, and the place of the logs if workers were restarted."""
    if not summary.workers:
        return ""
    restarts = summary.workers["restarts"]
    counts = ", ".join(f"{name} gave {count}" for name, count in summary.workers["replies"].items())
    died = f"; {restarts} exited and were started again, see {folder / 'logs'}" if restarts else ""
    return f"workers: {counts}{died}"


def _note(progress: RunProgress) -> str:
    cell = progress.cell
    parts = [f"{progress.earlier} answered before"] if progress.earlier else []
    parts += [f"{progress.failed} failed"] if progress.failed else []
    parts += [f"{progress.usd:.2f} USD"] if progress.usd else []
    parts += [f"{cell.level} {cell.corruption or ''}".strip()] if cell else []
    return ", ".join(parts)
