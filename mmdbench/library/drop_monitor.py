"""The drop of a model in training, measured again and again on the same questions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from mmdbench.errors import MmdbenchError, UsageError
from mmdbench.library.evaluating import evaluate
from mmdbench.library.notes import show_note
from mmdbench.library.options import EvaluateOptions, listed
from mmdbench.library.prepared import prepare
from mmdbench.library.run import Run
from mmdbench.library.tracked import described, run_config, run_numbers
from mmdbench.library.trackers import LogTo, Tracker, open_tracker, require_tracker
from mmdbench.library.user_interface import Benches, UserInterface
from mmdbench.records import CLEAN
from mmdbench.system.bounds import require_at_least

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["DropMonitor"]

_REFUSED = ("version", "fresh", "max_age", "target_ci", "shard")
"""Options with which a measurement would ask less, or something else, than the one before."""

_LEVELS = (CLEAN, "hard")
_SAMPLE = 100


class DropMonitor:
    """Measures the drop of a model in training: `monitor(step)` asks it, grades, keeps and logs.

    Every measurement asks the same questions with the same pictures: those of the seed. A bigger sample holds
    the smaller one. The model is asked anew each time, whatever the folder holds. Each measurement is a run
    of its own, `out/step-N`, which `load_run`, `compare` and every command read.

    The first measurement raises its errors, so that a training does not begin with a mistake. An error of a
    later one is printed, `monitor(step)` returns None, and the training continues.

    Args:
        model: A function `(images, prompt) -> text`, as `evaluate` takes it, that asks the model in training.
        bench: Names of benchmarks and paths of TSV files.
        log_to: `wandb`, `mlflow`, `trackio`, `tensorboard` (files in `out/tensorboard`), or a function that
            gets a dict of numbers and the step; None to log nothing. An active run of the tracker is used.
        **options: Options of `evaluate`, except `version`, `fresh`, `max_age`, `target_ci` and `shard`. `out`
            is the folder of this training run, and must be given. By default, 100 questions are asked clean
            and at the level `hard`.

    Raises:
        UsageError: An option or tracker is unknown, or cannot be used here.
        MissingExtraError: The tracker's package is not installed.

    >>> import mmdbench
    >>> seen = []
    >>> def model(images, prompt):
    ...     return "A"
    >>> def log(numbers, step):
    ...     seen.append((step, numbers["robustness/mini/drop_hard"]))
    >>> monitor = mmdbench.DropMonitor(model, "mini", out="runs", log_to=log, sample=2)
    >>> monitor(0).folder.name, seen
    ('step-0', [(0, 0.0)])
    """

    def __init__(
        self,
        model: Callable[..., Any],
        bench: Benches,
        *,
        log_to: LogTo | None = None,
        **options: Unpack[EvaluateOptions],
    ) -> None:
        if not callable(model) or hasattr(model, "fingerprint"):
            raise UsageError(
                f"The model of a DropMonitor must be a function, got {type(model).__name__}.",
                hint="Write one that takes (images, prompt) and asks the model in training.",
            )
        for name in _REFUSED:
            if name in options:
                raise UsageError(f"A DropMonitor takes no {name}.", hint="Every measurement asks the same.")
        out = options.get("out")
        if out is None:
            raise UsageError("A DropMonitor needs a folder for this training run.", hint='Add out="…".')
        if log_to is not None:
            require_tracker(log_to)
        self.folder = Path(out)
        self._model, self._benches, self._log_to = model, listed(bench), log_to
        self._options = cast("EvaluateOptions", {"sample": _SAMPLE, "levels": _LEVELS, **options})
        self._opened = ExitStack()
        self._tracker: Tracker | None = None
        self._measured = False
        prepare(model, self._benches, self._options, UserInterface(quiet=True), dry_run=True)

    def __call__(self, step: int) -> Run | None:
        """Measure at a step of the training, from 0, and return the run; None after a later error."""
        require_at_least("step", step, 0, whole=True)
        try:
            run = self._measure(step)
        except MmdbenchError as error:
            if not self._measured:
                raise
            show_note(f"mmdbench: no drop was logged at step {step}. {error}")
            return None
        self._measured = True
        return run

    def close(self) -> None:
        """Send what is left to the tracker, and end its run if it was started here."""
        self._tracker = None
        self._opened.close()

    def _measure(self, step: int) -> Run:
        label = f"step-{step}"
        # Weights of a training that was begun again are others at the same step: no reply is used twice.
        version = f"{label}, {uuid4().hex}"
        options: EvaluateOptions = {**self._options, "out": self.folder / label, "version": version}
        run = evaluate(self._model, self._benches, progress=False, **options)
        run.require_complete()
        self._log(run, step)
        return run

    def _log(self, run: Run, step: int) -> None:
        numbers = run_numbers(run.results)
        if self._log_to is None:
            return
        if self._tracker is None:
            opened = open_tracker(self._log_to, self.folder.name, self.folder / "tensorboard")
            self._tracker = self._opened.enter_context(opened)
            self._tracker.describe(run_config(run.results), described(run.notes))
        self._tracker.log(numbers, step)
