"""`mmdbench eval`: ask a model, grade it, print the drops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli.opening import Sources, open_benches
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import CLEAN, LEVELS, RECODED, RunPlan

if TYPE_CHECKING:
    from mmdbench.models import ModelCard

__all__ = ["evaluate", "parse_levels", "print_report", "run_folder", "split_list"]

_ANSWERING = ("model", "design", "corruptions", "seed", "profile", "codec")


def evaluate(
    model: Annotated[str, typer.Option(help="A model card's name; see: mmdbench list models")],
    bench: Annotated[
        list[str], typer.Option(help="A benchmark, a set such as mmd, or a TSV file; repeatable.")
    ],
    level: Annotated[str, typer.Option(help="clean, recoded, low, mid, hard")] = "clean,low,mid,hard",
    design: Annotated[str, typer.Option(help="mixed, grid or balanced:K")] = "mixed",
    corruption: Annotated[str, typer.Option(help="Only these corruptions, with commas.")] = "",
    sample: Annotated[str, typer.Option(help="Only so many questions: 200, or 200/bench.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of layouts, designs and samples.")] = 0,
    profile: Annotated[str, typer.Option(help="paper or scaled")] = "paper",
    codec: Annotated[
        str, typer.Option(help="How degraded images are encoded: jpeg:Q, webp:Q, png")
    ] = "jpeg:95",
    protocol: Annotated[str, typer.Option(help="clear/1 or vlmevalkit/1")] = "clear/1",
    extraction: Annotated[str, typer.Option(help="Answer extraction: sane, clear or none")] = "sane",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder of the run.")] = None,
    family: Annotated[str, typer.Option(help="Family of a TSV file of your own.")] = "",
    data_dir: Annotated[Path | None, typer.Option(help="Where benchmark files lie.")] = None,
    model_card: Annotated[list[Path] | None, typer.Option(help="TOML file with cards of your own.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Run a model on clean and degraded questions; the same command goes on where it stopped."""
    from mmdbench.benches import expand_benches
    from mmdbench.models import find_card

    card = find_card(model, model_card or ())
    plan = RunPlan(
        model=card.name,
        benches=expand_benches(bench),
        levels=parse_levels(level),
        design=design,
        corruptions=split_list(corruption),
        sample=sample,
        seed=seed,
        profile=profile,
        codec=codec,
        protocol=protocol,
        extraction=extraction,
    )
    sources = Sources(data_dir, offline, family)
    folder = run_folder(plan) if out is None else out
    run_and_report(plan, card, sources, folder, quiet=quiet)


def run_and_report(plan: RunPlan, card: ModelCard, sources: Sources, folder: Path, *, quiet: bool) -> None:
    """Run the plan in its folder, with a progress bar, and print and write its report."""
    from mmdbench.cli.progress import Bar
    from mmdbench.models import open_model
    from mmdbench.planning import check_plan
    from mmdbench.runner import Progress, run_plan

    check_plan(plan)
    benches = open_benches(plan.benches, sources, quiet=quiet)
    loaded = open_model(card)
    with Bar(f"{card.name} on {', '.join(b.name for b in benches)}", quiet=quiet) as bar:

        def show(progress: Progress) -> None:
            cell = progress.cell
            parts = [f"{progress.earlier} answered before"] if progress.earlier else []
            parts += [f"{progress.failed} failed"] if progress.failed else []
            parts += [f"{cell.level} {cell.corruption or ''}".strip()] if cell else []
            bar.update(progress.done, progress.total, ", ".join(parts))

        run_plan(plan, benches, loaded, card, folder, show)
    print_report(folder)


def print_report(folder: Path) -> None:
    """Grade the run, write its report and print it with the places of its files."""
    from rich.console import Console

    from mmdbench.report.console import console
    from mmdbench.report.results import load_results
    from mmdbench.report.tables import make_tables
    from mmdbench.report.writing import write_report
    from mmdbench.spec import load_spec

    results = load_results(folder)
    tables = make_tables(results, load_spec())
    written = write_report(folder, results, tables)
    Console().print(console(tables))
    for path in written:
        typer.echo(f"  {path}")


def run_folder(plan: RunPlan) -> Path:
    """Where a run lies if nobody says: named by what changes its replies, so that a larger sample,
    another level or another protocol goes on in the same folder.
    """
    from mmdbench.digest import value_digest

    answering = {key: value for key, value in plan.as_dict().items() if key in _ANSWERING}
    benches = "+".join(Path(name).stem for name in plan.benches)
    digest = value_digest({**answering, "benches": list(plan.benches)})[:8]
    safe = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in f"{plan.model}_{benches}_{plan.design}")
    return Path("runs") / f"{safe[:80]}_{digest}"


def parse_levels(text: str) -> tuple[str, ...]:
    """`clean,hard` → the levels in their order; each once."""
    known = (CLEAN, RECODED, *LEVELS)
    wanted = split_list(text)
    for name in wanted:
        if name not in known:
            raise UnknownNameError("level", name, known)
    if not wanted:
        raise UsageError("No level to run.", hint=f"Name some of {', '.join(known)}.")
    return tuple(name for name in known if name in wanted)


def split_list(text: str) -> tuple[str, ...]:
    """`a, b` → ("a", "b"); empty parts are left out."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
