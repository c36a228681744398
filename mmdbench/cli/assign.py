"""`mmdbench assign`: training sets by the recipes of CLEAR's paper, CLEAR's code and Robust-R1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_paths, say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.library.asking import ask_model, refuse_incomplete
from mmdbench.library.options import chosen_levels
from mmdbench.library.sources import Sources, open_benches
from mmdbench.records import CLEAN, RECODED, RunPlan
from mmdbench.system.images import MAX_PIXELS

if TYPE_CHECKING:
    from mmdbench.benches import Bench
    from mmdbench.models.cards import ModelCard
    from mmdbench.run.inputs import RunSettings
    from mmdbench.training import AssignmentRules, RowDraw, SetPlan, TrainingSet, Writers

__all__ = ["assign"]

_ROW_FAMILY = "mmvet"  # the question unchanged, and a judge's grade
_recipe_option = partial(typer.Option, rich_help_panel="Recipe")

_RECIPES = ("paper", "code", "robust-r1")
_ALL_LEVELS = "low,mid,hard"
_OWNERS = {
    "model": ("paper",),
    "clean_check": ("paper",),
    "right_at": ("paper",),
    "regenerations": ("paper", "robust-r1"),
    "p_sft": ("code",),
    "p_rl": ("code",),
    "draw": ("paper", "code"),
    "corruption": ("paper", "code"),
    "level": ("paper", "code"),
    "judge": ("paper", "code"),
    "set": ("paper",),
}
"""Options that some recipes alone have."""


def assign(
    bench: opts.Benches,
    model: opts.Model = "",
    out: opts.RunOutOrNone = None,
    quiet: opts.Quiet = False,
    recipe: Annotated[
        str, _recipe_option(help="Recipe: paper or code (both CLEAR's), or robust-r1.")
    ] = "paper",
    sample: opts.Sample = "",
    family: opts.Family = "",
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    offline: opts.Offline = False,
    yes: opts.Yes = False,
    draw: Annotated[
        str | None,
        _recipe_option(help="Draw of corruption and level: uniform (paper) or published (code)."),
    ] = None,
    level: opts.Levels = _ALL_LEVELS,
    corruption: opts.Corruptions = None,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
    codec: opts.Codec = "jpeg:95",
    clean_check: Annotated[
        bool | None, _recipe_option(help="Also leave out questions that the model gets wrong when clean.")
    ] = None,
    right_at: Annotated[
        float | None, _recipe_option(help="Least grade of a right answer, from 0 to 1; by default 1.")
    ] = None,
    p_sft: Annotated[
        float | None, _recipe_option(help="Share of rows for supervised training; by default 0.05.")
    ] = None,
    p_rl: Annotated[
        float | None, _recipe_option(help="Share of rows for reinforcement learning; by default 0.01.")
    ] = None,
    trace: Annotated[
        str, _recipe_option(help="Model that sees both pictures and writes traces; named like a judge.")
    ] = "",
    regenerations: Annotated[
        int | None, _recipe_option(help="Further tries of a trace that is wrong; by default 3.")
    ] = None,
    model_card: opts.ModelCards = None,
    settings: opts.CardSettings = None,
    allow_model_change: opts.AllowModelChange = False,
    judge: opts.Judge = "",
    max_usd: opts.MaxUsd = None,
    max_requests: opts.MaxRequests = None,
    on_bad_image: opts.OnBadImage = "count",
    max_pixels: opts.MaxPixels = MAX_PIXELS,
) -> None:
    """Make a training set: degraded pictures with traces and decisions to restore.

    Besides benchmarks, --bench takes rows with conversations: .parquet or .jsonl.

    Run the command again to resume.
    """
    from mmdbench.library.given_models import chosen_card
    from mmdbench.run.budget import Budget
    from mmdbench.run.inputs import RunSettings
    from mmdbench.training import AssignmentRules, RowDraw, SetPlan

    if recipe not in _RECIPES:
        raise UnknownNameError("recipe", recipe, _RECIPES)
    given: dict[str, Any] = {
        "model": model or None,
        "draw": draw,
        "clean_check": clean_check,
        "right_at": right_at,
    }
    given |= {"corruption": corruption, "p_sft": p_sft, "p_rl": p_rl, "regenerations": regenerations}
    given |= {"level": level if level != _ALL_LEVELS else None, "judge": judge or None, "set": settings}
    _refuse_foreign(recipe, given)
    plan = RunPlan(
        model=model,
        benches=_names(bench),
        levels=_levels(level, clean=bool(clean_check)),
        design=f"drawn:{draw or ('published' if recipe == 'code' else 'uniform')}",
        corruptions=opts.split_list(*(corruption or ())),
        sample=sample,
        seed=seed,
        profile=profile,
        codec=codec,
    )
    rows = RowDraw(**_known(p_sft=p_sft, p_rl=p_rl, seed=seed)) if recipe == "code" else None
    screen = Terminal(quiet=quiet)
    work = _Work(Sources(data_dir, offline, family, yes=yes, image_root=image_root), out, rows, screen)
    change: dict[str, Any] = {"allow_model_change": allow_model_change}
    limits = {"max_usd": max_usd, "max_requests": max_requests, **change}
    writers = _writers(recipe, judge, trace, model_card or (), limits, screen)
    pictures: dict[str, Any] = {"on_bad_image": on_bad_image, "max_pixels": max_pixels}
    if recipe == "paper":
        if not model:
            raise UsageError("The recipe 'paper' needs a base model.", hint="Name one with --model.")
        rules = AssignmentRules(
            **_known(clean_check=clean_check, right_at=right_at, regenerations=regenerations, seed=seed)
        )
        card = chosen_card(model, model_card or (), settings or (), screen)
        how = RunSettings(budget=Budget(max_usd, None, max_requests), **pictures, **change)
        _by_base_model(replace(plan, model=card.name), card, how, rules, work, writers)
    else:
        more = {"draw": rows, "regenerations": regenerations}
        _without_base_model(SetPlan(recipe, plan, **_known(**more, **pictures)), work, writers)


@dataclass
class _Work:
    """The sources, the folder and the draw of rows; `left_out` counts the rows that are not used."""

    sources: Sources
    out: Path | None
    draw: RowDraw | None
    screen: Terminal
    left_out: Counter[str] = field(default_factory=Counter)

    def open(self, names: Sequence[str], folder: Path) -> list[Bench]:
        """Open benchmarks; rows with conversations are copied into the folder first."""
        from mmdbench.benches import open_bench
        from mmdbench.run.folder import ROWS
        from mmdbench.system.inner_paths import refuse_links
        from mmdbench.training import bench_of_rows
        from mmdbench.training.rows import is_row_source

        refuse_links(folder)
        found = []
        for name in names:
            if not is_row_source(name):
                found += open_benches([name], self.sources, self.screen)
                continue
            rows = bench_of_rows(Path(name), folder / ROWS, self.draw, self.sources.image_root)
            self.left_out.update(rows.left_out)
            found.append(open_bench(rows.path, family=_ROW_FAMILY, answers="as is"))
        return found


def _writers(
    recipe: str, judge: str, trace: str, cards: Sequence[Path], limits: Mapping[str, Any], screen: Terminal
) -> Writers:
    """Judge and writer by name; a wrong name fails before anything is paid for."""
    from mmdbench.results.judging.open import JudgeOptions
    from mmdbench.training import Writers
    from mmdbench.training.prompts import AGENT_SYSTEM

    def options(role: str, name: str, system: str = "") -> JudgeOptions | None:
        if not name:
            return None
        on_usage = partial(screen.judge_usage, role=role)
        return JudgeOptions(
            name, None, cards, **limits, system=system, on_usage=on_usage, on_note=screen.remark
        )

    system = AGENT_SYSTEM if recipe == "code" else ""
    found = Writers(options("judge", judge), options("writer", trace, system))
    found.check()
    return found


def _by_base_model(
    plan: RunPlan, card: ModelCard, how: RunSettings, rules: AssignmentRules, work: _Work, writers: Writers
) -> None:
    from mmdbench.run.evaluate import Evaluation, open_evaluation
    from mmdbench.run.folder import default_folder
    from mmdbench.training import assign_samples
    from mmdbench.training.rows import is_row_source

    if writers.judge is None and any(map(is_row_source, plan.benches)):
        raise UsageError("Rows have free answers, which a judge must grade.", hint="Name one with --judge.")
    folder = default_folder(plan) if work.out is None else work.out
    evaluation = Evaluation(plan, card, folder, how, data_dir=work.sources.data_dir)
    with open_evaluation(evaluation, lambda names: work.open(names, folder)) as inputs:
        summary = ask_model(inputs, work.screen)
        with work.screen.bar("Samples") as bar:
            rest = writers.after(summary.usd)
            made = assign_samples(inputs, rules, rest, left_out=work.left_out, on_sample=bar.update)
    _print(made.made, work.left_out)
    refuse_incomplete(made.results, summary)


def _without_base_model(plan: SetPlan, work: _Work, writers: Writers) -> None:
    from mmdbench.run.plan import check_plan
    from mmdbench.training import make_set
    from mmdbench.training.recipes import claim_set_folder, default_set_folder

    check_plan(plan.pictures)
    plan.check_models(writers)
    folder = default_set_folder(plan) if work.out is None else work.out
    claim_set_folder(folder, plan)
    benches = work.open(plan.pictures.benches, folder)
    with work.screen.bar("Samples") as bar:
        made = make_set(plan, benches, folder, writers, left_out=work.left_out, on_sample=bar.update)
    _print(made, work.left_out)


def _refuse_foreign(recipe: str, given: Mapping[str, Any]) -> None:
    """Raise UsageError for the first option that was given and does not belong to the recipe."""
    for name, value in given.items():
        if value is not None and recipe not in _OWNERS[name]:
            raise UsageError(
                f"--{name.replace('_', '-')} does not belong to the recipe {recipe!r}.",
                hint=f"It belongs to {' and '.join(_OWNERS[name])}.",
            )


def _names(bench: Sequence[str]) -> tuple[str, ...]:
    """Canonical names of benchmarks, and the paths of rows as they are, in order and each once."""
    from mmdbench.benches import expand_benches
    from mmdbench.benches.catalog import refuse_degraded
    from mmdbench.training.rows import is_row_source

    parts = opts.split_list(*bench)
    found = [n for part in parts for n in ((part,) if is_row_source(part) else expand_benches(part))]
    refuse_degraded(found, "a training set")
    return tuple(dict.fromkeys(found))


def _levels(text: str, *, clean: bool) -> tuple[str, ...]:
    levels = chosen_levels(opts.split_list(text))
    if {CLEAN, RECODED} & set(levels):
        raise UsageError(
            f"--level must name degraded levels (low, mid, hard), got {text!r}.",
            hint="For the clean picture use --clean-check.",
        )
    return (CLEAN, *levels) if clean else levels


def _known(**values: Any) -> dict[str, Any]:
    """The values that were given."""
    return {name: value for name, value in values.items() if value is not None}


def _print(made: TrainingSet, rows_left_out: Mapping[str, int]) -> None:
    from mmdbench.training import RL, SFT, SUMMARY

    for label, value in made.statistics.items():
        say(f"{label:>28}  {value:,}")
    for reason, count in [*sorted(rows_left_out.items()), *made.left_out.items()]:
        say(f"  {count} left out: {reason}")
    print_paths(made.folder / name for name in (SFT, RL, SUMMARY))
