"""`mmdbench assign`: training sets by the recipes of CLEAR's paper, CLEAR's code and Robust-R1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import print_paths, say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.library.options import chosen_levels
from mmdbench.library.sources import Sources, given_columns
from mmdbench.records import CLEAN, RECODED, RunPlan
from mmdbench.system.images import MAX_PIXELS

if TYPE_CHECKING:
    from mmdbench.library.assigning import MadeSet

__all__ = ["assign"]

_recipe_option = partial(typer.Option, rich_help_panel="Recipe")

_RECIPES = ("paper", "code", "robust-r1")
_OWNERS = {
    "model": ("paper",),
    "clean_check": ("paper",),
    "right_at": ("paper",),
    "regenerations": ("paper", "robust-r1"),
    "p_sft": ("code",),
    "p_rl": ("code",),
    "draw": ("paper", "code"),
    "corruption": ("paper", "code"),
    "corruption_set": ("paper", "code"),
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
    column: opts.Columns = None,
    offline: opts.Offline = False,
    yes: opts.Yes = False,
    draw: Annotated[
        str | None,
        _recipe_option(help="Draw of corruption and level: uniform (paper) or published (code)."),
    ] = None,
    level: opts.Levels = opts.DEGRADED,
    corruption: opts.Corruptions = None,
    corruption_set: opts.CorruptionSet = opts.DEFAULT_SET,
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
    from mmdbench.corruptions.plugins import use_corruptions
    from mmdbench.library import assigning
    from mmdbench.library.given_models import chosen_card
    from mmdbench.library.prepared import limited_settings

    if recipe not in _RECIPES:
        raise UnknownNameError("recipe", recipe, _RECIPES)
    given: dict[str, Any] = {
        "model": model or None,
        "draw": draw,
        "clean_check": clean_check,
        "right_at": right_at,
    }
    given |= {"corruption_set": corruption_set if corruption_set != opts.DEFAULT_SET else None}
    given |= {"corruption": corruption, "p_sft": p_sft, "p_rl": p_rl, "regenerations": regenerations}
    given |= {"level": level if level != opts.DEGRADED else None, "judge": judge or None, "set": settings}
    _refuse_foreign(recipe, given)
    plan = RunPlan(
        model=model,
        benches=assigning.source_names(opts.split_list(*bench)),
        levels=_levels(level, clean=bool(clean_check)),
        design=f"drawn:{draw or ('published' if recipe == 'code' else 'uniform')}",
        corruptions=use_corruptions(opts.split_option(corruption), corruption_set),
        sample=sample,
        seed=seed,
        profile=profile,
        codec=codec,
    )
    rows = None
    if recipe == "code":
        rows = assigning.RowDraw(**_known(p_sft=p_sft, p_rl=p_rl, seed=seed))
    screen = Terminal(quiet=quiet)
    work = assigning.SetSources(
        Sources(
            data_dir, offline, family, yes=yes, image_root=image_root, columns=given_columns(column or ())
        ),
        screen,
        out,
        rows,
    )
    change: dict[str, Any] = {"allow_model_change": allow_model_change}
    limits = {"max_usd": max_usd, "max_requests": max_requests, **change}
    writers = assigning.open_writers(recipe, (judge, trace), model_card or (), limits, screen)
    pictures: dict[str, Any] = {"on_bad_image": on_bad_image, "max_pixels": max_pixels}
    if recipe == "paper":
        if not model:
            raise UsageError("The recipe 'paper' needs a base model.", hint="Name one with --model.")
        rules = assigning.AssignmentRules(
            **_known(clean_check=clean_check, right_at=right_at, regenerations=regenerations, seed=seed)
        )
        card = chosen_card(model, model_card or (), settings or (), screen)
        how = limited_settings(max_usd, max_requests, **pictures, **change)
        made = assigning.assign_by_model(
            assigning.evaluation_of(replace(plan, model=card.name), card, how, work), rules, work, writers
        )
    else:
        more = {"draw": rows, "regenerations": regenerations}
        set_plan = assigning.SetPlan(recipe, plan, **_known(**more, **pictures))
        made = assigning.assign_without_model(set_plan, work, writers)
    _print(made)
    made.require_complete()


def _refuse_foreign(recipe: str, given: Mapping[str, Any]) -> None:
    """Raise UsageError for the first option that was given and does not belong to the recipe."""
    for name, value in given.items():
        if value is not None and recipe not in _OWNERS[name]:
            raise UsageError(
                f"--{name.replace('_', '-')} does not belong to the recipe {recipe!r}.",
                hint=f"It belongs to {' and '.join(_OWNERS[name])}.",
            )


def _levels(texts: list[str], *, clean: bool) -> tuple[str, ...]:
    levels = chosen_levels(opts.split_option(texts))
    if {CLEAN, RECODED} & set(levels):
        raise UsageError(
            f"--level must name degraded levels (low, mid, hard), got {', '.join(texts)}.",
            hint="For the clean picture use --clean-check.",
        )
    return (CLEAN, *levels) if clean else levels


def _known(**values: Any) -> dict[str, Any]:
    """The values that were given."""
    return {name: value for name, value in values.items() if value is not None}


def _print(made: MadeSet) -> None:
    from mmdbench.library.assigning import RL, SFT, SUMMARY

    for label, value in made.made.statistics.items():
        say(f"{label:>28}  {value:,}")
    for reason, count in [*sorted(made.left_out.items()), *made.made.left_out.items()]:
        say(f"  {count} left out: {reason}")
    print_paths(made.made.folder / name for name in (SFT, RL, SUMMARY))
