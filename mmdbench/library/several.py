"""Several models, asked the same questions one after the other, each with a run of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mmdbench.errors import MmdbenchError, UsageError
from mmdbench.library.evaluating import carry_out
from mmdbench.library.options import EvaluateOptions, listed, local_path
from mmdbench.library.prepared import Prepared, prepare
from mmdbench.library.run import Run
from mmdbench.library.user_interface import Benches, Shows, interface_of
from mmdbench.models.endpoints import short_name
from mmdbench.run.folder import folder_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["ModelOutcome", "evaluate_each", "label_of", "options_of_each"]


@dataclass(frozen=True, slots=True)
class ModelOutcome:
    """The run of one of several models, the error that ended it, or both if the run is incomplete."""

    label: str
    run: Run | None = None
    error: MmdbenchError | None = None


def evaluate_each(
    models: Sequence[str],
    bench: Benches,
    *,
    labels: Sequence[str] = (),
    progress: Shows = True,
    **options: Unpack[EvaluateOptions],
) -> Iterator[ModelOutcome]:
    """Ask several models the same questions; one that fails does not end the others.

    All models and options are checked before the first model is asked. Limits hold for each model.

    Args:
        models: Names of model cards.
        bench: As for `evaluate`.
        labels: A label for each model; by default their short names.
        progress: As for `evaluate`.
        **options: As for `evaluate`; `out` is a folder in which each run has one of its own.

    Yields:
        The run or the error of each model, once it is known.

    Raises:
        MmdbenchError: A model or an option cannot be used.
    """
    interface = interface_of(progress)
    prepared: list[tuple[str, Prepared]] = []
    for model, own in zip(models, options_of_each(models, labels, options), strict=True):
        prepared.append((label_of(model, own), prepare(model, listed(bench), own, interface)))
    for label, one in prepared:
        if len(prepared) > 1:
            interface.note(f"mmdbench: {label}: {one.evaluation.folder}")
        run = None
        try:
            made = carry_out(one, interface)
            if one.evaluation.settings.shard[1] == 1:  # of a part nothing is graded
                _ = made.results
                run = made
                made.require_complete()
            else:
                run = made
        except MmdbenchError as error:
            yield ModelOutcome(label, run, error)
        else:
            yield ModelOutcome(label, run)


def label_of(model: str, options: EvaluateOptions) -> str:
    """The label of a model's run: the given one, or the model's short name."""
    return options.get("label") or short_name(model)


def options_of_each(
    models: Sequence[str], labels: Sequence[str], options: EvaluateOptions
) -> list[EvaluateOptions]:
    """The options of each of several models: its label, and its folder in `out`.

    Args:
        models: Names of model cards.
        labels: A label for each model, or none.
        options: The options of all models.

    Returns:
        The options of each model.

    Raises:
        UsageError: Two have one label, or the numbers of models and labels differ.
    """
    if labels and len(labels) != len(models):
        raise UsageError(
            f"--label must be given for each model or for none, got {len(labels)} for {len(models)} models."
        )
    if len(models) == 1:
        return [{**options, "label": labels[0]} if labels else options]
    if options.get("serve"):
        raise UsageError("--serve serves one model.", hint="Run one command for each model.")
    found: list[EvaluateOptions] = []
    names = [folder_name(label) for label in labels or map(short_name, models)]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UsageError(f"Two models have the label {name!r}.", hint="Give each its own --label.")
        own = {**options, "label": labels[place] if labels else ""}
        if options.get("out") is not None:
            own["out"] = local_path(cast("str | Path", options["out"])) / name
        found.append(cast("EvaluateOptions", own))
    return found
