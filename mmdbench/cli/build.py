"""`mmdbench build`: write degraded benchmarks to files."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared import options as opts
from mmdbench.cli._shared.output import say
from mmdbench.cli._shared.terminal import Terminal
from mmdbench.cli._shared.urls import OUT
from mmdbench.library.options import chosen_levels
from mmdbench.library.sources import Sources, open_benches
from mmdbench.system.images import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmdbench.benches import Bench
    from mmdbench.builds import BuildPlan, BuildSettings, BuildSummary
    from mmdbench.builds.estimate import BuildEstimate
    from mmdbench.run.engines.settings import EngineSettings

__all__ = ["build"]


def build(
    bench: opts.Benches,
    out: Annotated[Path, typer.Option("-o", "--out", parser=OUT, help="Folder of the build.")],
    format: Annotated[  # noqa: A002 - the option's name
        str, typer.Option("--format", help="Format: tsv, folder, parquet or webdataset.")
    ] = "tsv",
    dry_run: opts.DryRun = False,
    quiet: opts.Quiet = False,
    sample: opts.Sample = "",
    family: opts.Family = "",
    data_dir: opts.DataDir = None,
    image_root: opts.ImageRoot = None,
    offline: opts.Offline = False,
    level: opts.Levels = "low,mid,hard",
    design: opts.Design = "mixed",
    corruption: opts.Corruptions = None,
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
    from mmdbench.benches import expand_benches
    from mmdbench.builds import BuildPlan, BuildSettings
    from mmdbench.builds.plan import check_build_plan
    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.run.engines.settings import EngineSettings, read_runtime_env

    plan = BuildPlan(
        benches=expand_benches(bench),
        levels=chosen_levels(opts.split_list(level)),
        design=design,
        corruptions=opts.split_list(*(corruption or ())),
        sample=sample,
        seed=seed,
        profile=profile,
        codec=codec,
        format=format,
        degrade_again=degrade_again,
    )
    check_build_plan(plan, load_spec())
    where = EngineSettings(engine, address=ray_address, runtime_env=read_runtime_env(runtime_env))
    sources = Sources(data_dir, offline, family, "any", image_root=image_root)
    benches = open_benches(plan.benches, sources, Terminal(quiet=quiet))
    if dry_run or not quiet:
        _print_plan(plan, benches, out, workers)
    if not dry_run:
        settings = BuildSettings(workers, on_bad_image=on_bad_image, max_pixels=max_pixels)
        _print_summary(_run(plan, benches, out, settings, where, quiet=quiet), out)


def _run(
    plan: BuildPlan,
    benches: Sequence[Bench],
    out: Path,
    settings: BuildSettings,
    where: EngineSettings,
    *,
    quiet: bool,
) -> BuildSummary:
    from mmdbench.builds import BuildProgress, run_build
    from mmdbench.builds.build import by_threads
    from mmdbench.builds.ray_rows import by_ray
    from mmdbench.library.progress import Bar

    on_ray = where.engine == "ray"
    with (
        by_ray(where.address, where.runtime_env) if on_ray else nullcontext(by_threads) as make_rows,
        Bar("Building", quiet=quiet) as bar,
    ):

        def show(progress: BuildProgress) -> None:
            bar.update(progress.done, progress.total, f"{progress.bench} {progress.note}".strip())

        return run_build(plan, benches, out, replace(settings, on_progress=show, make_rows=make_rows))


def _print_plan(plan: BuildPlan, benches: Sequence[Bench], out: Path, workers: int) -> None:
    from mmdbench.builds.estimate import estimate_build
    from mmdbench.builds.plan import plan_benches
    from mmdbench.corruptions.spec_file import load_spec

    planned = plan_benches(plan, benches, load_spec())
    estimate = estimate_build(plan, planned, workers)
    for bench, bench_plan in zip(benches, planned, strict=True):
        gone = bench.without_picture
        note = f", {gone} rows without a picture left out" if gone else ""
        say(f"{bench.name}: {len(bench_plan.questions)} questions, family {bench.family}{note}", err=True)
    for line in _count_lines(estimate):
        say(f"  {line}", err=True)
    files = sum(len(bench_plan.outputs) for bench_plan in planned)
    say(
        f"{sum(estimate.variants.values())} pictures in {files} {plan.format} "
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
        say(f"With numba it would be {_time(left)}: pip install 'mmdbench[fast]'", err=True)


def _count_lines(estimate: BuildEstimate) -> list[str]:
    """One line for each level: the number of its pictures, by corruption."""
    lines = []
    for level in dict.fromkeys(level for level, _ in estimate.variants):
        counts = {name: n for (where, name), n in estimate.variants.items() if where == level}
        parts = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if name)
        lines.append(f"{level}: {sum(counts.values())} pictures{' (' + parts + ')' if parts else ''}")
    return lines


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
