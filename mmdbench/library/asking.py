"""A run that is opened and asked: downloads, progress and warnings go to a user interface."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from mmdbench.errors import IncompleteError
from mmdbench.library.sources import Sources, open_benches
from mmdbench.library.user_interface import UserInterface

if TYPE_CHECKING:
    from mmdbench.models.cards import ModelCard
    from mmdbench.models.local_server import LocalServer
    from mmdbench.models.registry import Fingerprinted
    from mmdbench.results.graded_run import RunResults
    from mmdbench.results.judging.open import JudgeOptions
    from mmdbench.run.evaluate import Evaluation
    from mmdbench.run.inputs import RunInputs
    from mmdbench.run.summary import RunProgress, RunSummary

__all__ = ["ask_model", "model_fetcher", "open_run", "refuse_incomplete", "require_ready"]

FetchModel = Callable[["ModelCard"], "Fingerprinted | None"]


def require_ready(evaluation: Evaluation, judge: JudgeOptions | None = None, *, opened: bool = False) -> None:
    """Raise for what would end a run after its downloads: a folder that cannot be written, a key or an extra.

    Args:
        evaluation: The evaluation, not opened yet.
        judge: The judge that will grade it.
        opened: The model is an object, or its server starts later: its card is not looked at.

    Raises:
        StoreError: The run's folder cannot be written.
        MissingExtraError: The model needs a package that is not installed.
        ModelError: The model needs a key, or is not there.
    """
    from mmdbench.models.registry import check_card
    from mmdbench.results.judging.open import open_judge
    from mmdbench.system.files import require_folder
    from mmdbench.variants.restoration import open_restorer

    require_folder(evaluation.folder)
    if evaluation.plan.restore:
        open_restorer(evaluation.plan.restore, evaluation.restorer_cards)
    # The machines of a cluster have packages of their own.
    if not opened and evaluation.engine.engine != "ray":
        check_card(evaluation.card)
    if judge is not None:
        open_judge(judge.name, judge.cards).check()


def open_run(
    evaluation: Evaluation,
    sources: Sources,
    interface: UserInterface,
    fetch_model: FetchModel | None = None,
) -> AbstractContextManager[RunInputs]:
    """Open an evaluation: download what is missing, with progress, and with consent above 1 GB.

    Args:
        evaluation: The plan and its settings.
        sources: The places of the benchmarks.
        interface: Shows downloads and notes, and asks for consent.
        fetch_model: Fetches the files of a model, or gives a model to take its card's place; by default
            missing files are downloaded.

    Returns:
        A context manager that yields the opened inputs of the run.
    """
    from mmdbench.library.downloads import Fetching
    from mmdbench.run.evaluate import Missing, open_evaluation

    fetching = Fetching(sources.yes, sources.offline, sources.dry_run, interface)
    missing = Missing(fetching.released, fetch_model or fetching.model)
    return open_evaluation(evaluation, lambda names: open_benches(names, sources, interface), missing)


def model_fetcher(
    evaluation: Evaluation, sources: Sources, interface: UserInterface, server: LocalServer | None
) -> FetchModel:
    """The function that fetches a card's files, after its own server was started once all else is open.

    Args:
        evaluation: The evaluation, whose folder keeps the server's log.
        sources: The options of downloads.
        interface: Shows downloads, and the server's start.
        server: The server to start; None for none.

    Returns:
        A function that `open_run` takes.
    """
    from mmdbench.library.downloads import Fetching
    from mmdbench.run.folder import LOGS

    fetching = Fetching(sources.yes, sources.offline, sources.dry_run, interface)

    def fetch(card: ModelCard) -> Fingerprinted | None:
        if server is not None and not sources.dry_run:
            server.start(
                evaluation.folder / LOGS / "server.log", lambda line: interface.note(f"mmdbench: {line}")
            )
        return fetching.model(card)

    return fetch


def ask_model(inputs: RunInputs, interface: UserInterface) -> RunSummary:
    """Ask for every missing reply, with a progress bar; warnings are notes."""
    from mmdbench.models.endpoints import short_name
    from mmdbench.run.runner import run_plan

    label = inputs.settings.label or short_name(inputs.card.name)
    with interface.bar(f"{label} on {', '.join(b.name for b in inputs.benches)}") as bar:

        def show(progress: RunProgress) -> None:
            if progress.note:
                interface.note(f"mmdbench: {progress.note}.")
            bar.update(progress.done, progress.total, _note(progress))

        summary = run_plan(inputs, show)
    report = _workers(summary, inputs.folder)
    uncounted = summary.uncounted and (
        f"{summary.uncounted} replies came with numbers of tokens that cannot be any; their cost is estimated"
    )
    for what in (report, uncounted, summary.alarm, summary.stopped and f"stopped: {summary.stopped}"):
        if what:
            interface.note(f"mmdbench: {what}")
    return summary


def refuse_incomplete(results: RunResults, summary: RunSummary | None = None) -> None:
    """Raise IncompleteError if more answers are missing, or not asked again, than the plan allows."""
    from mmdbench.results.freshness import stale_problem

    why = f" The run stopped: {summary.stopped}." if summary and summary.stopped else ""
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
