"""`evaluate`: ask a model clean and degraded questions, and grade its replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from mmdbench.errors import IncompleteError, MmdbenchError
from mmdbench.library.asking import ask_model, model_fetcher, open_run
from mmdbench.library.given_models import AnyModel
from mmdbench.library.options import EvaluateOptions, listed
from mmdbench.library.prepared import Prepared, prepare
from mmdbench.library.run import Run, Session
from mmdbench.library.user_interface import Benches, Shows, UserInterface, interface_of
from mmdbench.records import RunPlan
from mmdbench.results.graded_run import load_results
from mmdbench.results.precision import half_width_points, until_precise
from mmdbench.results.rescoring import Regraded, regrade_and_save
from mmdbench.run.forecast import Forecast
from mmdbench.run.forecast import forecast as forecast_inputs
from mmdbench.run.inputs import RunInputs
from mmdbench.run.summary import RunSummary
from mmdbench.scoring import Rules
from mmdbench.system.remote import no_downloads

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Forecast", "carry_out", "evaluate", "forecast"]

T = TypeVar("T")


def evaluate(
    model: AnyModel, bench: Benches, *, progress: Shows = True, **options: Unpack[EvaluateOptions]
) -> Run:
    """Ask a model clean and degraded questions, grade its replies and keep everything in a folder.

    The same call continues where it was stopped, and nothing is asked twice: the folder and its keys are
    those of `mmdbench eval`. It works in a notebook, in a thread and inside a running event loop.

    Args:
        model: The name of a model card, a card, the path of an adapter's file (`my_model.py`), an object with
            `fingerprint()` and `generate()`, or a function `(images, prompt) -> text`, whose images are RGB
            `PIL.Image.Image`. A function may be async, or marked by `batched`; it is asked anew in every
            call, unless a `version` is given.
        bench: Names of benchmarks, sets such as `mmd`, and paths of TSV files.
        progress: True for a bar, False for none, or a function that gets each `Progress`.
        **options: The options of the command, see `EvaluateOptions`.

    Returns:
        The run, also if it is incomplete: `run.problem` says so, and `run.require_complete()` raises.

    Raises:
        MmdbenchError: The model, a benchmark or an option cannot be used, and nothing is asked; or the model
            cannot be asked any more, and every reply so far is kept.

    >>> import mmdbench
    >>> run = mmdbench.evaluate("chance", "mini", sample=4, progress=False, out="run")
    >>> run.complete
    True
    """
    interface = interface_of(progress)
    return carry_out(prepare(model, listed(bench), options, interface), interface)


def carry_out(prepared: Prepared, interface: UserInterface) -> Run:
    """Ask and grade everything of an evaluation that is prepared."""
    return _outside_event_loop(_Work(prepared, interface).run)


def forecast(
    model: AnyModel, bench: Benches, *, progress: Shows = True, **options: Unpack[EvaluateOptions]
) -> Forecast:
    """The work, cost and time that `evaluate` would take; the model is not asked.

    Args:
        model: As for `evaluate`.
        bench: As for `evaluate`.
        progress: As for `evaluate`.
        **options: As for `evaluate`.

    Returns:
        The numbers of requests, images and tokens, the cost and the time.
    """
    interface = interface_of(progress)
    prepared = prepare(model, listed(bench), options, interface, dry_run=True)

    def count() -> Forecast:
        with no_downloads(), _opened(prepared, interface) as inputs:
            return forecast_inputs(inputs)

    return _outside_event_loop(count)


@dataclass
class _Work:
    """One call of `evaluate`: the summaries and gradings of its rounds, of which most have one."""

    prepared: Prepared
    interface: UserInterface
    summaries: list[RunSummary] = field(default_factory=list)
    judged: Regraded | None = None
    judge_error: MmdbenchError | None = None

    def run(self) -> Run:
        """Ask for everything, let the judge grade it, and return the run."""
        with _opened(self.prepared, self.interface) as inputs:
            if self.prepared.target_ci is not None:
                self._until_precise(inputs, self.prepared.target_ci)
            else:
                self._ask(inputs)
        judge = self.judged.judged_by if self.judged else ""
        error = self.judge_error or self._unasked()
        return Run(inputs.folder, judge=judge, session=Session(self.summaries[-1], self.judged, error))

    def _ask(self, inputs: RunInputs) -> None:
        self.summaries.append(ask_model(inputs, self.interface))
        self._ask_judge(inputs)

    def _ask_judge(self, inputs: RunInputs) -> None:
        """Let the judge grade what rules cannot, for what is left of the cost; not after a stopped run."""
        judge = self.prepared.judge
        self.judged = None
        if judge is None or self.summaries[-1].stopped:
            return
        spent = sum(summary.usd for summary in self.summaries)
        left = None if judge.max_usd is None else judge.max_usd - spent
        if left is not None and left <= 0:
            return
        with self.interface.bar("Judge") as bar:
            options = replace(judge, max_usd=left, on_progress=bar.update)
            try:
                self.judged, _ = regrade_and_save(inputs.folder, Rules("", ""), options)
            except MmdbenchError as error:  # the model's replies are paid for, whatever the judge does
                self.judge_error = error

    def _unasked(self) -> MmdbenchError | None:
        if self.prepared.judge is None or self.judged is not None:
            return None
        return IncompleteError(
            f"The judge was not asked: {self.summaries[-1].stopped or '--max-usd is used up'}.",
            hint="Run the same command again, with more to spend if that is used up.",
        )

    def _until_precise(self, inputs: RunInputs, target: float) -> None:
        def carry_out(plan: RunPlan) -> float | None:
            # Only the first step starts a generation, and the others add to it.
            settings = inputs.settings
            if self.summaries:
                settings = replace(settings, fresh=False, max_age=None)
            self._ask(replace(inputs, plan=plan, settings=settings))
            if self.summaries[-1].stopped or self.judge_error:
                return None
            judge = self.judged.judged_by if self.judged else ""
            return half_width_points(load_results(inputs.folder, judged_by=judge))

        for step in until_precise(inputs.plan, inputs.benches, target, carry_out):
            left = "not reached, and no question is left" if step.exhausted else "not yet"
            reached = "reached" if step.reached else left
            self.interface.note(f"{step.questions} questions: ± {step.half_width:.2f} points ({reached})")


@contextmanager
def _opened(prepared: Prepared, interface: UserInterface) -> Iterator[RunInputs]:
    evaluation, sources, loaded = prepared.evaluation, prepared.sources, prepared.given.loaded
    fetch = model_fetcher(evaluation, sources, interface, prepared.server)
    opened = open_run(evaluation, sources, interface, fetch if loaded is None else lambda _card: loaded)
    with prepared.server or nullcontext(), opened as inputs:
        yield inputs


def _outside_event_loop(work: Callable[[], T]) -> T:
    """Do work that starts an event loop of its own: in another thread if this one runs a loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        is_running = False
    else:
        is_running = True
    if not is_running:  # not in the handler above: errors would have that one as their cause
        return work()
    with ThreadPoolExecutor(1, "mmdbench") as thread:
        return thread.submit(work).result()
