"""Opening an evaluation: everything between a plan and the model's first request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmdbench.benches import Bench
from mmdbench.corruptions.plugins import places_of
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.models.cards import ModelCard, check_price, set_options, with_list_price
from mmdbench.models.registry import Fingerprinted, open_model
from mmdbench.records import RunPlan
from mmdbench.run.engines.settings import EngineSettings, open_pool
from mmdbench.run.folder import IMAGES
from mmdbench.run.inputs import PictureSources, RunInputs, RunSettings
from mmdbench.run.manifest import require_own_folder
from mmdbench.run.plan import check_plan
from mmdbench.scoring.tasks import find_task
from mmdbench.variants.released import open_released
from mmdbench.variants.restoration import open_restorer

__all__ = ["Evaluation", "Missing", "open_evaluation"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation before anything is opened.

    `restorer_cards` are TOML files with restorers, `data_dir` is the folder with benchmark files and
    released images; with `keep_images` the pictures that the model makes are kept in the run's folder.
    """

    plan: RunPlan
    card: ModelCard
    folder: Path
    settings: RunSettings = field(default_factory=RunSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    restorer_cards: Sequence[Path] = ()
    data_dir: Path | None = None
    keep_images: bool = False


def _leave(*_: object) -> None:
    """Fetch nothing: what is missing is an error when it is opened."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Functions that fetch files which an evaluation needs and this machine lacks, called once each.

    `released` fetches the authors' degraded copies of benchmarks, `model` the files of a card; it may return
    a model to take the place of the card's, whose files were not fetched.
    """

    released: Callable[[RunPlan, Sequence[Bench], Path | None], None] = _leave
    model: Callable[[ModelCard], Fingerprinted | None] = _leave


@contextmanager
def open_evaluation(
    evaluation: Evaluation,
    open_benches: Callable[[Sequence[str]], list[Bench]],
    missing: Missing | None = None,
) -> Iterator[RunInputs]:
    """Check the plan, then open restorer, benchmarks, released images and, last, the model.

    Args:
        evaluation: The plan and its settings. The plan's task, if it has one, sets its protocol.
        open_benches: Opens the benchmarks of the given names.
        missing: Fetches further files that are not on this machine; nothing by default.

    Yields:
        The inputs of a run. The workers of an engine end with the block.
    """
    missing = missing or Missing()
    plan, card, folder = evaluation.plan, with_list_price(evaluation.card), evaluation.folder
    check_price(card, evaluation.settings.budget.usd)
    task = find_task(plan.task)
    if task:
        plan = replace(plan, protocol=task.protocol)
    check_plan(plan)
    require_own_folder(folder, plan, card)
    if evaluation.keep_images:
        # Absolute, because a manifest shortens such paths: shards in folders of their own stay one run.
        card = set_options(card, [f"keep_images={folder.resolve() / IMAGES}"])
    restorer = open_restorer(plan.restore, evaluation.restorer_cards) if plan.restore else None
    benches = open_benches(plan.benches)
    require_own_folder(folder, plan, card, benches)
    if task:
        benches = [task.ask(bench, load_spec(), plan) for bench in benches]
    missing.released(plan, benches, evaluation.data_dir)
    pictures = PictureSources(restorer, open_released(plan, benches, evaluation.data_dir))
    with ExitStack() as stack:
        model = missing.model(card) or _open(replace(evaluation, card=card), stack)
        yield RunInputs(plan, benches, model, card, folder, evaluation.settings, pictures)


def _open(evaluation: Evaluation, stack: ExitStack) -> Fingerprinted:
    """The model of the card, or a pool of workers that hold it, which end with the stack."""
    card, workers = evaluation.card, evaluation.settings.workers
    if evaluation.engine.apart:
        places_of(evaluation.plan.corruptions)  # raises for one that no other process could use
        return stack.enter_context(open_pool(card, evaluation.engine, evaluation.folder, workers))
    return open_model(card)
