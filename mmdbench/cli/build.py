"""`mmdbench build`: write degraded benchmarks to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.benches.catalog import bench_title
from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.cli._shared.urls import OUT
from mmdbench.corruptions.lost_answers import excluded_text
from mmdbench.errors import install_command
from mmdbench.system.images import MAX_PIXELS

if TYPE_CHECKING:
    from mmdbench.library.building import BuildEstimate, BuildOptions, BuildSummary, PlannedBuild

__all__ = ["build"]


def build(
    bench: opts.Benches,
    out: Annotated[Path, typer.Option("-o", "--out", parser=OUT, help="Folder of the build.")],
    format: Annotated[  # noqa: A002 - the option's name
        str, typer.Option("--format", help="Format: tsv, folder, parquet or webdataset.")
    ] = "tsv",
    push: Annotated[
        str, typer.Option("--push", help="Publish as a dataset of the Hugging Face Hub: owner/name, private.")
    ] = "",
    allow_no_derivatives: Annotated[
        bool,
        typer.Option(
            "--allow-no-derivatives",
            help="Publish benchmarks too whose licence forbids sharing changed copies.",
        ),
    ] = False,
    dry_run: opts.DryRun = False,
    quiet: opts.Quiet = False,
    sample: opts.Sample = "",
    family: opts.Family = "",
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    column: opts.Columns = None,
    offline: opts.Offline = False,
    level: opts.Levels = opts.DEGRADED,
    design: opts.Design = "mixed",
    corruption: opts.Corruptions = None,
    corruption_set: opts.CorruptionSet = opts.DEFAULT_SET,
    seed: opts.Seed = 0,
    profile: opts.Profile = "paper",
    codec: opts.Codec = "jpeg:95",
    degrade_again: opts.DegradeAgain = False,
    on_bad_image: opts.OnBadImage = "count",
    max_pixels: opts.MaxPixels = MAX_PIXELS,
    workers: opts.Workers = 0,
    engine: opts.Engine = "local",
    ray_address: opts.RayAddress = "",
    runtime_env: opts.RuntimeEnv = None,
) -> None:
    """Write degraded copies of benchmarks; run the command again to resume."""
    from mmdbench.library.building import plan_build

    options: BuildOptions = {
        "format": format,
        "levels": opts.split_option(level),
        "sample": sample,
        "design": design,
        "corruptions": opts.split_option(corruption),
        "corruption_set": corruption_set,
        "seed": seed,
        "profile": profile,
        "codec": codec,
        "degrade_again": degrade_again,
        "family": family,
        "data_dir": data_dir,
        "image_root": image_root,
        "columns": column or (),
        "offline": offline,
        "on_bad_image": on_bad_image,
        "max_pixels": max_pixels,
        "workers": workers,
        "push": push,
        "allow_no_derivatives": allow_no_derivatives,
        "engine": engine,
        "ray_address": ray_address,
        "runtime_env": runtime_env,
    }
    planned = plan_build(bench, out, progress=Terminal(quiet=quiet), dry_run=dry_run, **options)
    if dry_run or not quiet:
        _print_plan(planned, out)
    if not dry_run:
        _print_summary(planned.make(out), out)
        if planned.published:
            say(f"Published as {planned.published}. It is private if it is new; look at its card first.")


def _print_plan(planned: PlannedBuild, out: Path) -> None:
    estimate, files = planned.estimate, planned.outputs
    for bench, questions in zip(planned.benches, planned.questions, strict=True):
        gone = bench.without_picture
        note = f", {gone} rows without a picture left out" if gone else ""
        say(f"{bench_title(bench.name)}: {questions} questions, family {bench.family}{note}", err=True)
    for line in _count_lines(estimate):
        say(f"  {line}", err=True)
    if note := excluded_text(planned.excluded):
        say(note, err=True)
    say(
        f"{sum(estimate.variants.values())} pictures in {files} {planned.plan.format} "
        f"output{'s' * (files != 1)} in {out}: "
        f"about {_bytes(estimate.bytes)}, {_time(estimate.wall_seconds)} with {estimate.workers} threads.",
        err=True,
    )
    if estimate.slow_seconds:
        share = estimate.slow_seconds / estimate.cpu_seconds
        say(f"mean_shift takes {share:.0%} of that time.", err=True)
    # Numba compiles for some seconds the first time, which a small saving does not make up for.
    if estimate.saved_seconds > (0 if estimate.slow_seconds else 30):
        left = (estimate.cpu_seconds - estimate.saved_seconds) / estimate.workers
        say(f"With numba it would be {_time(left)}: {install_command('fast')}", err=True)


def _count_lines(estimate: BuildEstimate) -> list[str]:
    """The number of pictures by corruption, a line for all levels that have the same."""
    levels: dict[str, list[str]] = {}
    for level in dict.fromkeys(level for level, _ in estimate.variants):
        counts = {name: n for (where, name), n in estimate.variants.items() if where == level}
        parts = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if name)
        said = f"{sum(counts.values())} pictures{' (' + parts + ')' if parts else ''}"
        levels.setdefault(said, []).append(level)
    return [f"{', '.join(at)}: {said}" for said, at in levels.items()]


def _print_summary(summary: BuildSummary, out: Path) -> None:
    for name in summary.remade:
        say(f"{name}: damaged files were made again.", err=True)
    for built in summary.outputs:
        notes = [f"{built.pictures} pictures"]
        notes += [f"{built.references} rows refer to them"] if built.references else []
        notes += [f"{built.no_ops} unchanged by their corruption"] if built.no_ops else []
        notes += [f"{built.left_out} rows left out, see {built.log.file}"] if built.left_out else []
        say(f"  {out / built.files[0].file}  {built.rows} rows, {', '.join(notes)}")
        if len(built.files) > 1:
            say(f"    warning: split into {len(built.files)} files of less than 1 GB", err=True)
    earlier = f", {summary.earlier} rows were there" if summary.earlier else ""
    say(f"{summary.made} rows made in {_time(summary.seconds)}{earlier}. To check: mmdbench verify {out}")


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _bytes(size: float) -> str:
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 1000:
            return f"{size:.0f} {unit}"
    return f"{size / 1000:.1f} GB"
