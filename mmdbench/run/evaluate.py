"""Opening an evaluation: everything between a plan and the model's first request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmdbench.benches import Bench
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.models.cards import ModelCard, check_price, set_options
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

__all__ = ["Evaluation", "open_evaluation"]


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


@contextmanager
def open_evaluation(
    evaluation: Evaluation, open_benches: Callable[[Sequence[str]], list[Bench]]
) -> Iterator[RunInputs]:
    """Check the plan, then open restorer, benchmarks, released images and, last, the model.

    `open_benches` opens the benchmarks of the given names. The plan's task, if it has one, sets its
    protocol. The workers of an engine end with the block.
    """
    plan, card, folder = evaluation.plan, evaluation.card, evaluation.folder
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
    pictures = PictureSources(restorer, open_released(plan, benches, evaluation.data_dir))
    with ExitStack() as stack:
        model: Fingerprinted
        if evaluation.engine.apart:
            workers = evaluation.settings.workers
            model = stack.enter_context(open_pool(card, evaluation.engine, folder, workers))
        else:
            model = open_model(card)
        yield RunInputs(plan, benches, model, card, folder, evaluation.settings, pictures)
