"""Experiment trackers that take the numbers of a run: W&B, MLflow, Trackio, TensorBoard, or a function.

Each is an optional package, imported when it is named. Where the process has an active run of W&B, MLflow
or Trackio, as in a training loop, the numbers go there; otherwise a run is started, and ended by `close`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from mmdbench.errors import MissingExtraError, MmdbenchError, UnknownNameError, UsageError
from mmdbench.system.secrets import error_text

__all__ = ["TRACKERS", "LogTo", "Tracker", "open_tracker", "require_tracker"]

LogFunction = Callable[[dict[str, float], int], object]
"""A function that gets numbers by their names, and the step that they are of."""

LogTo = str | LogFunction
"""The argument `log_to`: the name of a tracker, or a function."""

TRACKERS = ("wandb", "mlflow", "trackio", "tensorboard")
"""The names of trackers; each is also the extra that installs its package."""

_PACKAGES = {"tensorboard": "tensorboardX"}
_PROJECT = "mmdbench"
_STEP = "robustness/step"
_NOTES = "robustness/notes"


class Tracker(Protocol):
    """A tracker that was opened."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Keep numbers by their names, for a step."""
        ...

    def describe(self, config: Mapping[str, str], notes: str) -> None:
        """Keep the settings of the run, and the notes that limit its numbers, if there are any."""
        ...

    def close(self) -> None:
        """Send what is left, and end the tracker's run if it was started here."""
        ...


def require_tracker(log_to: object) -> None:
    """Import the package of a tracker.

    Args:
        log_to: The name of a tracker, or a function.

    Raises:
        UnknownNameError: There is no such tracker.
        MissingExtraError: Its package is not installed.
    """
    if not isinstance(log_to, str):
        if not callable(log_to):
            names = ", ".join(TRACKERS)
            raise UsageError(
                f"log_to must be one of {names}, or a function, got {type(log_to).__name__}.",
                hint="A function gets a dict of numbers, and the step.",
            )
        return
    if log_to not in TRACKERS:
        raise UnknownNameError("tracker", log_to, TRACKERS)
    package = _PACKAGES.get(log_to, log_to)
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, log_to) from error


@contextmanager
def open_tracker(log_to: LogTo, name: str, folder: Path | None = None) -> Iterator[Tracker]:
    """A tracker, which is closed when the block ends.

    Args:
        log_to: The name of a tracker, or a function.
        name: The name of the run to start where none is active.
        folder: The folder of TensorBoard's files, which others do without.

    Yields:
        The tracker. Errors of its package are raised as MmdbenchError, without secrets.

    Raises:
        UsageError: There is no such tracker, or TensorBoard has no folder.
        MissingExtraError: Its package is not installed.
    """
    require_tracker(log_to)
    if log_to == "tensorboard" and folder is None:
        raise UsageError("TensorBoard keeps its numbers in files.", hint="Name their folder: -o FOLDER")
    with _errors_of(log_to):
        tracker = _opened(log_to, name, folder)
    shown = _Checked(tracker, log_to)
    try:
        yield shown
    finally:
        shown.close()


def _opened(log_to: LogTo, name: str, folder: Path | None) -> Tracker:
    if not isinstance(log_to, str):
        return _Function(log_to)
    if log_to == "tensorboard":
        return _TensorBoard(str(folder))
    kinds: dict[str, Callable[[str], Tracker]] = {"wandb": _Wandb, "mlflow": _MLflow, "trackio": _Trackio}
    return kinds[log_to](name)


@contextmanager
def _errors_of(log_to: LogTo) -> Iterator[None]:
    try:
        yield
    except MmdbenchError:
        raise
    except Exception as error:  # noqa: BLE001 - foreign code, whose message may hold a key
        name = log_to if isinstance(log_to, str) else "The function log_to"
        raise MmdbenchError(
            f"{name} did not take the numbers: {error_text(error)}.",
            hint="They are kept in the run's folder; log them later: mmdbench export --to TRACKER RUN",
        ) from None


class _Checked:
    """A tracker whose errors are MmdbenchErrors."""

    def __init__(self, tracker: Tracker, log_to: LogTo) -> None:
        self._tracker, self._log_to = tracker, log_to

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        with _errors_of(self._log_to):
            self._tracker.log(numbers, step)

    def describe(self, config: Mapping[str, str], notes: str) -> None:
        with _errors_of(self._log_to):
            self._tracker.describe(config, notes)

    def close(self) -> None:
        with _errors_of(self._log_to):
            self._tracker.close()


def _with_notes(config: Mapping[str, str], notes: str) -> dict[str, str]:
    return {**config, **({_NOTES: notes} if notes else {})}


class _Function:
    def __init__(self, function: LogFunction) -> None:
        self._function = function

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._function(dict(numbers), step)

    def describe(self, config: Mapping[str, str], notes: str) -> None:
        """A function takes numbers alone."""

    def close(self) -> None:
        """A function has nothing to end."""


class _Wandb:
    def __init__(self, name: str) -> None:
        wandb = importlib.import_module("wandb")
        self._started = wandb.run is None
        self._run = wandb.init(project=_PROJECT, name=name) if self._started else wandb.run
        # W&B's own step counts calls and never falls; the step of the training is a number beside it.
        self._run.define_metric(_STEP)
        for names in ("robustness/*", "training/*"):
            self._run.define_metric(names, step_metric=_STEP)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._run.log({**numbers, _STEP: step})

    def describe(self, config: Mapping[str, str], notes: str) -> None:
        self._run.config.update(_with_notes(config, notes), allow_val_change=True)

    def close(self) -> None:
        if self._started:
            self._run.finish()


class _MLflow:
    def __init__(self, name: str) -> None:
        self._mlflow = importlib.import_module("mlflow")
        active = self._mlflow.active_run()
        self._started = active is None
        run = self._mlflow.start_run(run_name=name) if self._started else active
        self._id = run.info.run_id

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(numbers), step=step, run_id=self._id)

    def describe(self, config: Mapping[str, str], notes: str) -> None:
        client = self._mlflow.MlflowClient()
        self._mlflow.log_params(dict(config), run_id=self._id)
        if not notes:
            return
        client.set_tag(self._id, _NOTES, notes)
        if self._started:
            client.set_tag(self._id, "mlflow.note.content", notes)  # shown as the run's description

    def close(self) -> None:
        active = self._mlflow.active_run()
        if self._started and active is not None and active.info.run_id == self._id:
            self._mlflow.end_run()


class _Trackio:
    def __init__(self, name: str) -> None:
        self._trackio = importlib.import_module("trackio")
        active = self._trackio.context_vars.current_run.get()
        self._started = active is None
        self._run = self._trackio.init(project=_PROJECT, name=name) if self._started else active

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        # A step of ours in a run of others would move those that Trackio counts for them.
        self._run.log({**numbers, _STEP: step}, step=step if self._started else None)

    def describe(self, config: Mapping[str, str], notes: str) -> None:
        self._run.config.update(_with_notes(config, notes))  # sent with the first numbers

    def close(self) -> None:
        if self._started and self._trackio.context_vars.current_run.get() is self._run:
            self._trackio.finish()


class _TensorBoard:
    def __init__(self, folder: str) -> None:
        self._writer: Any = importlib.import_module("tensorboardX").SummaryWriter(folder)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, step)
        self._writer.flush()

    def describe(self, config: Mapping[str, str], notes: str) -> None:
        lines = [f"- {key}: {value}" for key, value in config.items()]
        self._writer.add_text("robustness/config", "\n".join(lines), 0)
        if notes:
            self._writer.add_text(_NOTES, notes, 0)

    def close(self) -> None:
        self._writer.close()
