"""`mmdbench assign`: training data by CLEAR's recipe, from a base model's answers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.benches import Sources
from mmdbench.cli._shared.output import print_judge_usage
from mmdbench.cli._shared.progress import Bar
from mmdbench.cli._shared.run import ask_model, open_run, refuse_incomplete
from mmdbench.errors import IncompleteError, UsageError
from mmdbench.records import CLEAN, RECODED, RunPlan
from mmdbench.system.bounds import require_above
from mmdbench.system.images import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmdbench.results.judging.open import JudgeOptions
    from mmdbench.training import Assignment

__all__ = ["assign"]

_recipe_option = partial(typer.Option, rich_help_panel="Recipe")


def assign(
    model: opts.Model,
    bench: opts.Benches,
    out: opts.RunOutOrNone = None,
    quiet: opts.Quiet = False,
    sample: opts.Sample = "",
    family: opts.Family = "",
    data_dir: opts.DataDir = None,
    offline: opts.Offline = False,
    level: opts.Levels = "low,mid,hard",
    corruption: opts.Corruptions = None,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
    codec: opts.Codec = "jpeg:95",
    clean_check: Annotated[
        bool, _recipe_option(help="Leave out questions that the model gets wrong when clean.")
    ] = True,
    balance: Annotated[
        float, _recipe_option(help="Generate-then-answer samples for each direct one; 0: keep all.")
    ] = 1.0,
    right_at: Annotated[float, _recipe_option(help="Least grade of a right answer, from 0 to 1.")] = 1.0,
    trace: Annotated[
        str, _recipe_option(help="Model that writes reasoning for each kept sample; named like a judge.")
    ] = "",
    images: Annotated[bool, _recipe_option(help="Write the pictures too.")] = True,
    model_card: opts.ModelCards = None,
    settings: opts.CardSettings = None,
    judge: opts.Judge = "",
    max_usd: opts.MaxUsd = None,
    max_requests: opts.MaxRequests = None,
    on_bad_image: opts.OnBadImage = "count",
    max_pixels: opts.MaxPixels = MAX_PIXELS,
) -> None:
    """Make training data: assign each question a mode by a base model's answers.

    Right on the degraded picture: answer directly. Wrong: restore, then answer.

    Run the command again to resume.
    """
    from mmdbench.benches import expand_benches
    from mmdbench.benches.catalog import refuse_degraded
    from mmdbench.models.cards import find_card, set_options
    from mmdbench.run.budget import Budget
    from mmdbench.run.evaluate import Evaluation
    from mmdbench.run.folder import default_folder
    from mmdbench.run.inputs import RunSettings
    from mmdbench.training import AssignmentRules, assign_samples

    levels = opts.parse_levels(level)
    if {CLEAN, RECODED} & set(levels):
        raise UsageError(
            f"--level must name degraded levels (low, mid, hard), got {level!r}.",
            hint="For the clean picture use --clean-check.",
        )
    if balance:
        require_above("--balance", balance, 0)
    benches = expand_benches(bench)
    refuse_degraded(benches, "assign")
    card = set_options(find_card(model, model_card or ()), settings or ())
    plan = RunPlan(
        model=card.name,
        benches=benches,
        levels=(CLEAN, *levels) if clean_check else levels,
        design="drawn",
        corruptions=opts.split_list(*(corruption or ())),
        sample=sample,
        seed=seed,
        profile=profile,
        codec=codec,
    )
    how = RunSettings(
        budget=Budget(max_usd, None, max_requests), on_bad_image=on_bad_image, max_pixels=max_pixels
    )
    folder = default_folder(plan) if out is None else out
    evaluation = Evaluation(plan, card, folder, how, data_dir=data_dir)
    rules = AssignmentRules(clean_check, balance, right_at, seed)
    judges = [_judge_options(name, model_card or (), max_usd) for name in (judge, trace)]
    with open_run(evaluation, Sources(data_dir, offline, family), quiet=quiet) as inputs:
        summary = ask_model(inputs, quiet=quiet)
        left = None if max_usd is None else max_usd - summary.usd
        if left is not None and left <= 0 and any(judges):
            raise IncompleteError("No judge was asked: --max-usd is used up.", hint="Run the command again.")
        with Bar("Traces", quiet=quiet or not trace) as bar:
            grader, writer = (options and replace(options, max_usd=left) for options in judges)
            writer = writer and replace(writer, on_progress=bar.update)
            made = assign_samples(inputs, rules, judge=grader, writer=writer, pictures=images)
    _print(made)
    refuse_incomplete(made.results, summary)


def _judge_options(name: str, cards: Sequence[Path], max_usd: float | None) -> JudgeOptions | None:
    """A judge by name, None for none; a wrong name fails before the run is paid for."""
    from mmdbench.results.judging.open import JudgeOptions, open_judge
    from mmdbench.run.budget import Budget

    if not name:
        return None
    open_judge(name, cards, Budget(usd=max_usd)).close()
    return JudgeOptions(name, None, cards, max_usd, on_usage=print_judge_usage)


def _print(made: Assignment) -> None:
    kept = made.selection.kept
    modes = [f"{sum(s.mode == mode for s in kept)} {mode}" for mode in ("direct", "generate")]
    typer.echo(f"{len(kept)} of {len(made.selection.samples)} samples kept: {', '.join(modes)}")
    for reason, count in sorted(made.selection.left_out.items()):
        typer.echo(f"  {count} left out: {reason}")
    if made.traces is not None:
        good = sum(trace.status == "ok" for trace in made.traces.traces.values())
        typer.echo(f"  {good} of {len(made.traces.traces)} traces passed the checks")
    typer.echo(f"  {made.path}")
