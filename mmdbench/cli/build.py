"""`mmdbench build`: degraded benchmarks as files."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdbench.cli._shared.benches import Sources, open_benches
from mmdbench.cli._shared.urls import BENCH, DATA_DIR, OUT
from mmdbench.cli.evaluate import parse_levels, split_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmdbench.benches import Bench
    from mmdbench.builds import BuildPlan, BuildSummary
    from mmdbench.builds.estimating import Estimate
    from mmdbench.run.engines.settings import EngineSettings

__all__ = ["build"]


def build(
    bench: Annotated[
        list[str],
        typer.Option(parser=BENCH, help="A benchmark, a set such as mmd, or a TSV file; repeatable."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", parser=OUT, help="Folder that the files go to.")],
    level: Annotated[
        str, typer.Option(help="low, mid, hard, clean, recoded; several with commas")
    ] = "low,mid,hard",
    design: Annotated[str, typer.Option(help="mixed, grid or balanced:K")] = "mixed",
    corruption: Annotated[str, typer.Option(help="Only these corruptions, with commas.")] = "",
    sample: Annotated[str, typer.Option(help="Only so many questions: 200, or 200/bench.")] = "",
    codec: Annotated[
        str, typer.Option(help="How degraded images are encoded: jpeg:Q, webp:Q, png")
    ] = "jpeg:95",
    format: Annotated[str, typer.Option(help="tsv, folder, parquet or webdataset")] = "tsv",  # noqa: A002 - --format
    seed: Annotated[int, typer.Option(help="Seed of layouts, designs and samples.")] = 0,
    profile: Annotated[str, typer.Option(help="paper or scaled")] = "paper",
    workers: Annotated[
        int, typer.Option(help="Threads, or tasks of Ray at a time; by default one for each CPU.", min=0)
    ] = 0,
    engine: Annotated[str, typer.Option(help="Where pictures are made: local or ray.")] = "local",
    ray_address: Annotated[
        str, typer.Option(help="A running Ray cluster; else RAY_ADDRESS, else one here.")
    ] = "",
    runtime_env: Annotated[
        Path | None, typer.Option(help="YAML file: what Ray prepares on its nodes (pip, env_vars …).")
    ] = None,
    family: Annotated[str, typer.Option(help="Family of a TSV file of your own.")] = "",
    data_dir: Annotated[Path | None, typer.Option(parser=DATA_DIR, help="Where benchmark files lie.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and leave.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No plan and no progress.")] = False,
) -> None:
    """Write degraded copies of benchmarks; the same command goes on where it stopped."""
    from mmdbench.benches import expand_benches
    from mmdbench.builds import BuildPlan
    from mmdbench.builds.plan import check_build_plan
    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.run.engines.settings import EngineSettings, read_runtime_env

    plan = BuildPlan(
        benches=expand_benches(bench),
        levels=parse_levels(level),
        design=design,
        corruptions=split_list(corruption),
        sample=sample,
        seed=seed,
        profile=profile,
        codec=codec,
        format=format,
    )
    check_build_plan(plan, load_spec())
    where = EngineSettings(engine, address=ray_address, runtime_env=read_runtime_env(runtime_env))
    benches = open_benches(plan.benches, Sources(data_dir, offline, family), quiet=quiet)
    if dry_run or not quiet:
        _print_plan(plan, benches, out, workers)
    if not dry_run:
        _print_summary(_run(plan, benches, out, workers, where, quiet=quiet), out)


def _run(
    plan: BuildPlan,
    benches: Sequence[Bench],
    out: Path,
    workers: int,
    where: EngineSettings,
    *,
    quiet: bool,
) -> BuildSummary:
    from mmdbench.builds import BuildProgress, BuildSettings, run_build
    from mmdbench.builds.building import by_threads
    from mmdbench.builds.ray_rows import by_ray
    from mmdbench.cli._shared.progress import Bar

    on_ray = where.engine == "ray"
    with (
        by_ray(where.address, where.runtime_env) if on_ray else nullcontext(by_threads) as make_rows,
        Bar("Building", quiet=quiet) as bar,
    ):

        def show(progress: BuildProgress) -> None:
            bar.update(progress.done, progress.total, f"{progress.bench} {progress.note}".strip())

        return run_build(plan, benches, out, BuildSettings(workers, show, make_rows=make_rows))


def _print_plan(plan: BuildPlan, benches: Sequence[Bench], out: Path, workers: int) -> None:
    from mmdbench.builds.estimating import estimate_build
    from mmdbench.builds.plan import plan_benches
    from mmdbench.corruptions.spec_file import load_spec

    planned = plan_benches(plan, benches, load_spec())
    estimate = estimate_build(plan, planned, workers)
    for bench_plan in planned:
        bench = bench_plan.bench
        dropped = f", {bench.dropped} rows without a picture left out" if bench.dropped else ""
        typer.echo(
            f"{bench.name}: {len(bench_plan.questions)} questions, family {bench.family}{dropped}", err=True
        )
    for line in _count_lines(estimate):
        typer.echo(f"  {line}", err=True)
    files = sum(len(bench_plan.outputs) for bench_plan in planned)
    typer.echo(
        f"{sum(estimate.variants.values())} pictures in {files} {plan.format} "
        f"output{'s' * (files != 1)} in {out}: "
        f"about {_bytes(estimate.bytes)}, {_time(estimate.wall_seconds)} with {estimate.workers} threads.",
        err=True,
    )
    if estimate.slow_seconds:
        share = estimate.slow_seconds / estimate.cpu_seconds
        typer.echo(f"mean_shift is the slow one: {share:.0%} of that time.", err=True)
    # Compiling takes some seconds the first time, so that a small saving is none.
    if estimate.saved_seconds > (0 if estimate.slow_seconds else 30):
        left = (estimate.cpu_seconds - estimate.saved_seconds) / estimate.workers
        typer.echo(f"With numba it would be {_time(left)}: pip install 'mmdbench[fast]'", err=True)


def _count_lines(estimate: Estimate) -> list[str]:
    """For each level its pictures, by corruption where there are any."""
    lines = []
    for level in dict.fromkeys(level for level, _ in estimate.variants):
        counts = {name: n for (where, name), n in estimate.variants.items() if where == level}
        parts = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if name)
        lines.append(f"{level}: {sum(counts.values())} pictures{' (' + parts + ')' if parts else ''}")
    return lines


def _print_summary(summary: BuildSummary, out: Path) -> None:
    for name in summary.remade:
        typer.echo(f"{name}: files that were damaged were made anew.", err=True)
    for built in summary.outputs:
        notes = [f"{built.pictures} pictures"]
        notes += [f"{built.references} rows refer to them"] if built.references else []
        notes += [f"{built.no_ops} unchanged by their corruption"] if built.no_ops else []
        typer.echo(f"  {out / built.files[0].file}  {built.rows} rows, {', '.join(notes)}")
        if len(built.files) > 1:
            typer.echo(
                f"    warning: split in {len(built.files)} files, so that each stays below 1 GB", err=True
            )
    earlier = f", {summary.earlier} rows were there" if summary.earlier else ""
    typer.echo(
        f"{summary.made} rows made in {_time(summary.seconds)}{earlier}. To check: mmdbench verify {out}"
    )


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
