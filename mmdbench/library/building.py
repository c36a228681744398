"""`build`: degraded copies of benchmarks on disk, checked and made again from their manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from mmdbench.benches import Bench, decode_image, expand_benches
from mmdbench.builds import BuildPlan, BuildProgress, BuildSettings, BuildSummary, run_build
from mmdbench.builds.build import by_threads
from mmdbench.builds.estimate import BuildEstimate, estimate_build
from mmdbench.builds.manifest import read_build
from mmdbench.builds.measured_scale import measure_scale
from mmdbench.builds.parquet_output import load_pyarrow
from mmdbench.builds.plan import BenchPlan, check_build_plan, plan_benches
from mmdbench.builds.ray_rows import by_ray
from mmdbench.builds.replay import ImageQuery, find_picture, read_manifest_of
from mmdbench.builds.replay import replay as make_again
from mmdbench.builds.source_benches import SourceBenches, find_source_benches
from mmdbench.builds.verify import Verification, VerifySettings, verify_build
from mmdbench.corruptions.definition import Corruption
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import DataError, UsageError
from mmdbench.library.given_options import checked_options
from mmdbench.library.options import chosen_levels, listed, local_path
from mmdbench.library.publishing import prepare_dataset, push_build
from mmdbench.library.report import source_folders
from mmdbench.library.sources import Sources, given_columns, open_benches
from mmdbench.library.user_interface import Benches, Shows, UserInterface, interface_of
from mmdbench.records import LEVELS, PAPER_SET, ImageBytes
from mmdbench.results.pictures import SourceFolders
from mmdbench.run.engines.settings import EngineSettings, read_runtime_env
from mmdbench.system.digest import bytes_digest
from mmdbench.system.files import require_folder, write_atomic
from mmdbench.system.images import MAX_PIXELS, encoding_of
from mmdbench.system.remote import no_downloads
from mmdbench.variants.codec import encode, parse_codec
from mmdbench.variants.design import count_excluded

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "BuildEstimate",
    "BuildOptions",
    "BuildSummary",
    "ImageQuery",
    "PlannedBuild",
    "RemadePicture",
    "Verification",
    "VerifySettings",
    "build",
    "plan_build",
    "replay",
    "verify",
]


class BuildOptions(TypedDict, total=False):
    """Options of `mmdbench.build`; those of `mmdbench build` with the same defaults.

    Attributes:
        format: `tsv`, `folder`, `parquet` or `webdataset`.
        levels: Levels: `clean`, `recoded`, `low`, `mid`, `hard`; by default the three severities.
        sample: Number of questions to draw: 200, or "200/bench".
        design: Corruptions of each question: `mixed`, `grid` or `balanced:K`.
        corruptions: Corruptions to draw from: names, categories, `all`, `module:function`,
            `file.py:function` or decorated functions; by default all of mmdbench.
        corruption_set: Set that the corruptions are of: `paper`, `everyday` or one of an installed package.
        seed: Seed of all random draws.
        profile: Parameters of the corruptions: `paper` or `scaled`.
        codec: Encoding of degraded images: `jpeg:Q`, `webp:Q` or `png`.
        degrade_again: Degrade benchmarks too whose pictures are degraded as published.
        family: Question family of a TSV file of one's own.
        columns: Columns of a dataset of the Hub or of another tool's file.
        data_dir: Folder of benchmark files, searched before `$LMUData` and `~/LMUData`.
        image_root: Folder of the pictures that a TSV names, if it is not the TSV's own.
        offline: Never download.
        on_bad_image: `count` or `error`.
        max_pixels: Largest picture to read, in pixels.
        workers: Threads, or Ray tasks, that make pictures; 0: by the number of CPUs.
        push: Dataset of the Hub to publish the build as, `owner/name`; it is made private.
        allow_no_derivatives: Publish benchmarks too whose licence forbids sharing changed copies.
        engine: Place of the work: `local` or `ray`.
        ray_address: Address of a running Ray cluster.
        runtime_env: YAML file with Ray's runtime environment.
    """

    format: str
    levels: Sequence[str]
    sample: int | str
    design: str
    corruptions: Sequence[str | Corruption]
    corruption_set: str
    seed: int
    profile: str
    codec: str
    degrade_again: bool
    family: str
    columns: dict[str, str] | Sequence[str]
    data_dir: str | Path | None
    image_root: str | Path | None
    offline: bool
    on_bad_image: str
    max_pixels: int
    workers: int
    push: str
    allow_no_derivatives: bool
    engine: str
    ray_address: str
    runtime_env: str | Path | None


class PlannedBuild:
    """A build before it is made.

    Args:
        plan: The plan.
        benches: Its benchmarks, opened.
        options: The options of `build`.
        interface: Shows the progress.

    Attributes:
        published: The address that the build was published at; empty before.
    """

    published = ""

    def __init__(
        self, plan: BuildPlan, benches: Sequence[Bench], options: BuildOptions, interface: UserInterface
    ) -> None:
        self.plan, self.benches = plan, tuple(benches)
        self._options, self._interface = options, interface

    @cached_property
    def _planned(self) -> Sequence[BenchPlan]:
        return plan_benches(self.plan, self.benches, load_spec())

    @property
    def questions(self) -> tuple[int, ...]:
        """The number of questions of each benchmark."""
        return tuple(len(planned.questions) for planned in self._planned)

    @property
    def excluded(self) -> dict[str, dict[str, int]]:
        """The number of rows that are left out under each corruption, which takes their answer, by kind."""
        benches = [bench.with_pictures for bench in self.benches]
        return count_excluded(self.plan.named(benches).as_run_plan(), benches, load_spec())

    @property
    def outputs(self) -> int:
        """The number of degraded copies."""
        return sum(len(planned.outputs) for planned in self._planned)

    @cached_property
    def estimate(self) -> BuildEstimate:
        """The pictures to make, with their time and disk space, for which some are made and thrown away."""
        workers = self._options.get("workers", 0)
        most = self._options.get("max_pixels", MAX_PIXELS)
        scale = measure_scale(self.plan, self._planned, load_spec(), workers, most)
        return estimate_build(self.plan, self._planned, workers, scale=scale)

    def make(self, out: str | Path) -> BuildSummary:
        """Make the build in a folder, and publish it if that is asked for; what is there already is kept."""
        folder, repo = local_path(out), self._options.get("push", "")
        if repo:
            allowed = self._options.get("allow_no_derivatives", False)
            prepare_dataset(repo, self.benches, allow_no_derivatives=allowed)
        summary = self._make(folder)
        if repo:
            self.published = push_build(folder, repo, self.plan, self.benches, summary)
        return summary

    def _make(self, folder: Path) -> BuildSummary:
        options, runtime_env = self._options, self._options.get("runtime_env")
        where = EngineSettings(
            options.get("engine", "local"),
            address=options.get("ray_address", ""),
            runtime_env=read_runtime_env(None if runtime_env is None else Path(runtime_env)),
        )
        on_ray = where.engine == "ray"
        with (
            by_ray(where.address, where.runtime_env) if on_ray else nullcontext(by_threads) as make_rows,
            self._interface.bar("Building") as bar,
        ):

            def show(progress: BuildProgress) -> None:
                bar.update(progress.done, progress.total, f"{progress.bench} {progress.note}".strip())

            settings = BuildSettings(
                options.get("workers", 0),
                on_bad_image=options.get("on_bad_image", "count"),
                max_pixels=options.get("max_pixels", MAX_PIXELS),
                on_progress=show,
                make_rows=make_rows,
            )
            return run_build(self.plan, self.benches, folder, settings)


@dataclass(frozen=True, slots=True)
class RemadePicture:
    """A picture made again: its row, corruption and intensity, and True if its bytes are those logged."""

    path: Path
    row: str
    made: str
    same_bytes: bool


def build(
    bench: Benches, out: str | Path, *, progress: Shows = True, **options: Unpack[BuildOptions]
) -> BuildSummary:
    """Write degraded copies of benchmarks; the same call resumes, and makes nothing twice.

    Args:
        bench: Names of benchmarks, sets such as `mmd`, and paths of TSV files.
        out: Folder of the build.
        progress: True for a bar, False for none, or a function that gets each `Progress`.
        **options: The options of the command, see `BuildOptions`.

    Returns:
        The files, and the numbers of rows and pictures.

    Raises:
        MmdbenchError: An option or a benchmark cannot be used, or the folder holds something else.
    """
    return plan_build(bench, out, progress=progress, **options).make(out)


def plan_build(
    bench: Benches,
    out: str | Path | None = None,
    *,
    progress: Shows = True,
    dry_run: bool = False,
    **options: Unpack[BuildOptions],
) -> PlannedBuild:
    """A build before it is made, with its outputs, its time and its disk space.

    Args:
        bench: As for `build`.
        out: The folder of the build, which is checked before anything is downloaded; None checks nothing.
        progress: As for `build`.
        dry_run: Download nothing: benchmarks that are not on this machine are counted only.
        **options: As for `build`.

    Returns:
        The planned build.
    """
    options = checked_options(options, BuildOptions, "build")
    interface = interface_of(progress)
    plan = _plan(listed(bench), options)
    if plan.format == "parquet":
        load_pyarrow()
    if out is not None:
        require_folder(local_path(out))
    where = source_folders(options.get("data_dir"), options.get("image_root"))
    offline, family = options.get("offline", False), options.get("family", "")
    sources = Sources(
        where.data_dir,
        offline,
        family,
        "any",
        dry_run=dry_run,
        image_root=where.image_root,
        columns=given_columns(options.get("columns", ())),
    )
    with no_downloads() if dry_run else nullcontext():
        benches = open_benches(plan.benches, sources, interface)
    return PlannedBuild(plan, benches, options, interface)


def verify(
    folder: str | Path,
    settings: VerifySettings | None = None,
    *,
    sources: Sequence[str | Path] = (),
    data_dir: str | Path | None = None,
    image_root: str | Path | None = None,
    files_only: bool = False,
) -> Verification:
    """Check the files of a build, and make its pictures again to compare them.

    Args:
        folder: Folder of the build.
        settings: Numbers of pictures and threads, the largest picture, and the progress.
        sources: TSV files that the build was made of.
        data_dir: Folder of benchmark files.
        image_root: Folder of the pictures that a TSV names, if it is not the TSV's own.
        files_only: Check the files only.

    Returns:
        The numbers of what was checked, and the problems.

    Raises:
        StoreError: The folder holds no build.
    """
    place, found = Path(folder), SourceBenches()
    if not files_only:
        found = _find_sources(read_build(place), place, sources, source_folders(data_dir, image_root))
    return verify_build(place, found, settings or VerifySettings())


def replay(
    manifest: str | Path,
    picture: ImageQuery,
    out: str | Path,
    *,
    sources: Sequence[str | Path] = (),
    data_dir: str | Path | None = None,
    image_root: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> RemadePicture:
    """Make one picture of a build again, from its source and its manifest.

    Args:
        manifest: A build's folder, its `manifest.json`, or one of its logs.
        picture: The row and the picture in it.
        out: Picture to write: `.png`, or the build's format.
        sources: TSV files that the build was made of.
        data_dir: Folder of benchmark files.
        image_root: Folder of the pictures that a TSV names, if it is not the TSV's own.
        max_pixels: Largest picture to read, in pixels.

    Returns:
        The picture that was made.

    Raises:
        DataError: The source is missing, or its pixels are others than logged.
        UsageError: No picture, or several, are meant, or the file cannot be written in its format.
    """
    head, logs = read_manifest_of(Path(manifest))
    found = find_picture(logs, picture)
    where = source_folders(data_dir, image_root)
    known = _find_sources(head, logs[0][1].parent.parent, sources, where)
    name = found.output.bench
    if name not in known.found:
        raise DataError(
            f"{name}: {known.missing[name]}",
            hint="Name the file with --source or its folder with --data-dir.",
        )
    variant = make_again(found, known.found[name], max_pixels)
    path, recipe = Path(out), variant.recipe
    write_atomic(path, _in_format_of(variant.image, path))
    made = f"{recipe.corruption} at {recipe.intensity}" if recipe.corruption else found.output.level
    same = bytes_digest(variant.image.data) == found.record["bytes"]
    return RemadePicture(path, found.name, made, same)


def _plan(benches: Sequence[str], options: BuildOptions) -> BuildPlan:
    sample = options.get("sample", "")
    plan = BuildPlan(
        benches=expand_benches(benches),
        levels=chosen_levels(options.get("levels", LEVELS)),
        design=options.get("design", "mixed"),
        corruptions=use_corruptions(options.get("corruptions", ()), options.get("corruption_set", PAPER_SET)),
        sample=str(sample) if sample else "",
        seed=options.get("seed", 0),
        profile=options.get("profile", "paper"),
        codec=options.get("codec", "jpeg:95"),
        format=options.get("format", "tsv"),
        degrade_again=options.get("degrade_again", False),
    )
    check_build_plan(plan, load_spec())
    return plan


def _find_sources(
    head: Mapping[str, Any], folder: Path, files: Sequence[str | Path], where: SourceFolders
) -> SourceBenches:
    named = [Path(file) for file in files]
    return find_source_benches(
        head, folder, data_dir=where.data_dir, files=named, image_root=where.image_root
    )


def _in_format_of(image: ImageBytes, out: Path) -> bytes:
    """The encoded picture as it is, if the file's name asks for its format, else as PNG."""
    suffixes = {"image/jpeg": (".jpg", ".jpeg"), "image/png": (".png",), "image/webp": (".webp",)}[image.mime]
    if out.suffix.lower() in suffixes:
        return image.data
    if out.suffix.lower() != ".png":
        raise UsageError(
            f"Cannot write {out}: the picture is {image.mime}.", hint=f"End it with .png or {suffixes[0]}."
        )
    where = "a picture made again"
    return encode(decode_image(image.data, where), parse_codec("png"), encoding_of(image.data, where)[1]).data
