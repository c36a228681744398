"""A plan carried out for a verb: progress while it runs, what went wrong, and its report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from mmdbench.cli._shared.benches import Sources, open_benches
from mmdbench.errors import IncompleteError
from mmdbench.records import RunPlan

if TYPE_CHECKING:
    from mmdbench.benches import Bench
    from mmdbench.models.registry import AsyncModel, Model, ModelCard
    from mmdbench.results.graded_run import RunResults
    from mmdbench.run.engines import Crew
    from mmdbench.run.engines.settings import EngineSettings
    from mmdbench.run.plan import Pictures
    from mmdbench.run.runner import Progress, RunSettings, RunSummary

__all__ = ["Run", "load_run", "print_report", "run_and_report", "show_forecast"]


@dataclass(frozen=True, slots=True)
class Run:
    """A plan with everything loaded that carries it out."""

    plan: RunPlan
    card: ModelCard
    model: Model | AsyncModel | Crew
    benches: list[Bench]
    folder: Path
    settings: RunSettings
    pictures: Pictures
    quiet: bool = False

    def carry_out(self, plan: RunPlan | None = None) -> RunSummary:
        """Ask what is not answered yet, with a progress bar."""
        from mmdbench.cli._shared.progress import Bar
        from mmdbench.run.runner import run_plan

        with Bar(f"{self.card.name} on {', '.join(b.name for b in self.benches)}", quiet=self.quiet) as bar:

            def show(progress: Progress) -> None:
                if progress.note:
                    print(f"mmdbench: {progress.note}.", file=sys.stderr)
                bar.update(progress.done, progress.total, _note(progress))

            summary = run_plan(
                plan or self.plan,
                self.benches,
                self.model,
                self.card,
                self.folder,
                show,
                self.settings,
                self.pictures,
            )
        report = _workers(summary, self.folder)
        for what in (report, summary.alarm, summary.stopped and f"stopped: {summary.stopped}"):
            if what:
                print(f"mmdbench: {what}", file=sys.stderr)
        return summary


@contextmanager
def load_run(
    plan: RunPlan,
    card: ModelCard,
    sources: Sources,
    folder: Path,
    settings: RunSettings,
    *,
    quiet: bool,
    restorer_cards: Sequence[Path] = (),
    engine: EngineSettings | None = None,
) -> Iterator[Run]:
    """Check the plan, open its benchmarks and what it does to pictures, and load its model last.

    With an engine the model is loaded by its workers, which end with the block.
    """
    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.models.registry import open_model
    from mmdbench.run.engines.settings import open_crew
    from mmdbench.run.plan import Pictures
    from mmdbench.run.planning import check_plan
    from mmdbench.scoring.tasks import find_task
    from mmdbench.variants.released import open_released
    from mmdbench.variants.restoration import open_restorer

    check_plan(plan)
    restorer = open_restorer(plan.restore, restorer_cards) if plan.restore else None
    benches = open_benches(plan.benches, sources, quiet=quiet)
    task = find_task(plan.task)
    if task:
        benches = [task.ask(bench, load_spec()) for bench in benches]
    pictures = Pictures(restorer, open_released(plan, benches, sources.data_dir))
    with ExitStack() as stack:
        model: Model | AsyncModel | Crew
        if engine is None:
            model = open_model(card)
        else:
            model = stack.enter_context(open_crew(card, engine, folder, settings.workers))
        yield Run(plan, card, model, benches, folder, settings, pictures, quiet)


def run_and_report(plan: RunPlan, card: ModelCard, sources: Sources, folder: Path, *, quiet: bool) -> None:
    """Run the plan in its folder, with a progress bar, and print and write its report."""
    from mmdbench.run.runner import RunSettings

    with load_run(plan, card, sources, folder, RunSettings(), quiet=quiet) as run:
        run.carry_out()
    print_report(folder)


def print_report(folder: Path) -> RunResults:
    """Grade the run, write its report and print it with the places of its files."""
    from rich.console import Console

    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.report.render.console import console
    from mmdbench.report.render.writing import write_report
    from mmdbench.report.tables.collect import make_tables
    from mmdbench.results.graded_run import load_results

    results = load_results(folder)
    tables = make_tables([results], load_spec())
    written = write_report(folder, results, tables)
    Console().print(console(tables))
    for path in written:
        typer.echo(f"  {path}")
    return results


def refuse_incomplete(results: RunResults, summary: RunSummary) -> None:
    """IncompleteError if more answers are missing than the plan allows."""
    if results.complete:
        return
    why = f" The run stopped: {summary.stopped}." if summary.stopped else ""
    raise IncompleteError(
        f"{results.planned - results.failed} of {results.planned} planned requests are answered, "
        f"less than all but {results.plan.max_error_rate:.1%}: the run is incomplete.{why}",
        hint="Run the same command again to ask what is missing.",
    )


def show_forecast(run: Run, *, as_json: bool) -> None:
    """Print what running would do, and ask nothing."""
    from mmdbench.run.forecast import forecast

    found = forecast(
        run.plan,
        run.benches,
        cast("Model | AsyncModel", run.model),  # a dry run opens no workers
        run.card,
        run.folder,
        retry_errors=run.settings.retry_errors,
        pictures=run.pictures,
    )
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps({**asdict(found), "to_ask": found.to_ask}, indent=1, ensure_ascii=False))
        return
    price = run.card.price
    questions = ", ".join(f"{name} {count}" for name, count in found.questions.items())
    cost = "unknown: the model card has no price" if found.usd is None else f"{found.usd:,.2f} US dollars"
    if price and found.usd is not None:
        cost += f" at {price.input:g} / {price.output:g} a million tokens ({price.date})"
    rows = {
        "requests": f"{found.requests:,}",
        "already answered": f"{found.answered:,}",
        "to ask": f"{found.to_ask:,} with {found.images:,} images",
        "tokens": f"{found.tokens_read:,} read, {found.tokens_written:,} written",
        "cost": cost,
        "time": "unknown" if found.seconds is None else _duration(found.seconds),
        "basis": found.basis,
        "questions": questions,
        "95 % interval": f"± {found.score:.1f} points on a score of a half",
    }
    if found.drop is not None:
        rows["… of a drop"] = f"± {found.drop:.1f} points, if one answer in ten flips"
    for name, value in rows.items():
        typer.echo(f"{name:>17}  {value}")


def _workers(summary: RunSummary, folder: Path) -> str:
    """Who answered how much, and where to look if workers died."""
    if not summary.workers:
        return ""
    restarts = summary.workers["restarts"]
    counts = ", ".join(f"{name} gave {count}" for name, count in summary.workers["replies"].items())
    died = f"; {restarts} died and were started again, see {folder / 'logs'}" if restarts else ""
    return f"workers: {counts}{died}"


def _note(progress: Progress) -> str:
    cell = progress.cell
    parts = [f"{progress.earlier} answered before"] if progress.earlier else []
    parts += [f"{progress.failed} failed"] if progress.failed else []
    parts += [f"{progress.usd:.2f} USD"] if progress.usd else []
    parts += [f"{cell.level} {cell.corruption or ''}".strip()] if cell else []
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
