"""`assign`: training sets of degraded pictures, by the recipes of CLEAR's paper and code, and Robust-R1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench, expand_benches, open_bench
from mmdbench.benches.catalog import refuse_degraded
from mmdbench.errors import UsageError
from mmdbench.library.asking import ask_model, refuse_incomplete, require_ready
from mmdbench.library.sources import Sources, open_benches
from mmdbench.library.user_interface import UserInterface
from mmdbench.models.cards import ModelCard
from mmdbench.records import RunPlan
from mmdbench.results.graded_run import RunResults
from mmdbench.results.judging.open import JudgeOptions
from mmdbench.run.evaluate import Evaluation, open_evaluation
from mmdbench.run.folder import ROWS, default_folder
from mmdbench.run.inputs import RunSettings
from mmdbench.run.plan import check_plan
from mmdbench.run.summary import RunSummary
from mmdbench.system.files import require_folder
from mmdbench.system.inner_paths import refuse_links
from mmdbench.training import (
    RL,
    SFT,
    SUMMARY,
    AssignmentRules,
    RowDraw,
    SetPlan,
    TrainingSet,
    Writers,
    assign_samples,
    bench_of_rows,
    make_set,
)
from mmdbench.training.prompts import AGENT_SYSTEM
from mmdbench.training.recipes import claim_set_folder, default_set_folder
from mmdbench.training.rows import is_row_source

__all__ = [
    "RL",
    "SFT",
    "SUMMARY",
    "AssignmentRules",
    "MadeSet",
    "RowDraw",
    "SetPlan",
    "SetSources",
    "assign_by_model",
    "assign_without_model",
    "evaluation_of",
    "open_writers",
    "source_names",
]

_ROW_FAMILY = "mmvet"  # the question unchanged, and a judge's grade


@dataclass
class SetSources:
    """The places of benchmarks and rows, and the draw of rows; `left_out` counts the rows that are not used.

    `out` is the folder of the set; by default one that is named by its plan.
    """

    sources: Sources
    interface: UserInterface
    out: Path | None = None
    draw: RowDraw | None = None
    left_out: Counter[str] = field(default_factory=Counter)

    def open(self, names: Sequence[str], folder: Path) -> list[Bench]:
        """Open benchmarks; rows with conversations are copied into the folder first."""
        refuse_links(folder)
        found = []
        for name in names:
            if not is_row_source(name):
                found += open_benches([name], self.sources, self.interface)
                continue
            rows = bench_of_rows(Path(name), folder / ROWS, self.draw, self.sources.image_root)
            self.left_out.update(rows.left_out)
            found.append(open_bench(rows.path, family=_ROW_FAMILY, answers="as is"))
        return found


@dataclass(frozen=True, slots=True)
class MadeSet:
    """A training set, the rows that were not used by reason, and the base model's run if there is one."""

    made: TrainingSet
    left_out: Mapping[str, int]
    results: RunResults | None = None
    summary: RunSummary | None = None

    def require_complete(self) -> None:
        """Raise IncompleteError if more of the base model's answers are missing than its plan allows."""
        if self.results is not None:
            refuse_incomplete(self.results, self.summary)


def source_names(names: Sequence[str]) -> tuple[str, ...]:
    """Canonical names of benchmarks, and the paths of rows as they are, in order and each once.

    Raises UsageError for a benchmark whose pictures are degraded already.
    """
    found = [n for part in names for n in ((part,) if is_row_source(part) else expand_benches(part))]
    refuse_degraded(found, "a training set")
    return tuple(dict.fromkeys(found))


def open_writers(
    recipe: str,
    names: tuple[str, str],
    cards: Sequence[Path],
    limits: Mapping[str, Any],
    interface: UserInterface,
) -> Writers:
    """Judge and writer by name; a wrong name fails before anything is paid for.

    Args:
        recipe: `paper`, `code` or `robust-r1`.
        names: The names of the judge and of the writer of traces; empty for none.
        cards: TOML files with cards.
        limits: Fields of JudgeOptions that limit both.
        interface: Shows their cost and notes.

    Returns:
        Both.
    """
    judge, trace = names
    system = AGENT_SYSTEM if recipe == "code" else ""
    found = Writers(
        _role("judge", JudgeOptions(judge, None, cards, **limits), interface),
        _role("writer", JudgeOptions(trace, None, cards, **limits, system=system), interface),
    )
    found.check()
    return found


def _role(role: str, options: JudgeOptions, interface: UserInterface) -> JudgeOptions | None:
    """The options with the cost and notes shown; None without a name."""
    if not options.name:
        return None
    return replace(options, on_usage=partial(interface.judge_usage, role=role), on_note=interface.remark)


def evaluation_of(plan: RunPlan, card: ModelCard, settings: RunSettings, work: SetSources) -> Evaluation:
    """The evaluation of a base model.

    Args:
        plan: Its plan.
        card: The model.
        settings: The settings of the run.
        work: The places of benchmarks, and the folder of the set.

    Returns:
        The evaluation, not opened yet.
    """
    folder = default_folder(plan) if work.out is None else work.out
    return Evaluation(plan, card, folder, settings, data_dir=work.sources.data_dir)


def assign_by_model(
    evaluation: Evaluation, rules: AssignmentRules, work: SetSources, writers: Writers
) -> MadeSet:
    """Ask a base model first, and assign the questions by its answers (the recipe of CLEAR's paper).

    Args:
        evaluation: The base model and its plan.
        rules: The rules of the assignment.
        work: The places of benchmarks and rows.
        writers: Judge and writer.

    Returns:
        The set.

    Raises:
        UsageError: Rows have free answers, and there is no judge.
    """
    plan, folder = evaluation.plan, evaluation.folder
    require_ready(evaluation)
    writers.require_keys()
    if writers.judge is None and any(map(is_row_source, plan.benches)):
        raise UsageError("Rows have free answers, which a judge must grade.", hint="Name one with --judge.")
    with open_evaluation(evaluation, lambda names: work.open(names, folder)) as inputs:
        summary = ask_model(inputs, work.interface)
        with work.interface.bar("Samples") as bar:
            rest = writers.after(summary.usd)
            made = assign_samples(inputs, rules, rest, left_out=work.left_out, on_sample=bar.update)
    return MadeSet(made.made, work.left_out, made.results, summary)


def assign_without_model(plan: SetPlan, work: SetSources, writers: Writers) -> MadeSet:
    """Make a set by the recipes of CLEAR's code and of Robust-R1, which ask no base model.

    Args:
        plan: The plan of the set.
        work: The places of benchmarks and rows.
        writers: Judge and writer.

    Returns:
        The set.
    """
    check_plan(plan.pictures)
    plan.check_models(writers)
    folder = default_set_folder(plan) if work.out is None else work.out
    require_folder(folder)
    refuse_links(folder)
    writers.require_keys()
    claim_set_folder(folder, plan)
    benches = work.open(plan.pictures.benches, folder)
    with work.interface.bar("Samples") as bar:
        made = make_set(plan, benches, folder, writers, left_out=work.left_out, on_sample=bar.update)
    return MadeSet(made, work.left_out)
