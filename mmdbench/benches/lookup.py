"""Open a benchmark by what a user typed: a name, a set, a path, a URL or a name in another tool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mmdbench.benches.bench import Answers, Bench, read_bench
from mmdbench.benches.catalog import bench_names, find_bench
from mmdbench.benches.converted import OpenOptions, named_files, open_converted
from mmdbench.benches.fetch import FetchSettings, fetch_bench, find_file
from mmdbench.benches.hub_dataset import HUB, open_hub_bench
from mmdbench.benches.lmms_task import read_task
from mmdbench.benches.local_sources import open_local_source
from mmdbench.benches.rbench import TASKS, open_rbench
from mmdbench.benches.vlmevalkit import open_kit_bench
from mmdbench.errors import UnknownNameError
from mmdbench.system.remote import fetch_file, is_url

__all__ = ["SOURCE_SUFFIXES", "expand_benches", "looks_like_path", "open_bench"]

SOURCE_SUFFIXES = (".tsv", ".json", ".yaml", ".yml")
"""The endings of files that are benchmarks."""

_TASKS = (".yaml", ".yml")
_KIT = "vlmeval:"
_RBENCH = "rbench:"
_RBENCH_SETS = {f"{_RBENCH}all": "", f"{_RBENCH}ref": "-ref"}


def open_bench(
    name_or_path: str | Path,
    *,
    data_dir: str | Path | None = None,
    offline: bool = False,
    family: str | None = None,
    settings: FetchSettings | None = None,
    answers: Answers = "check",
    image_root: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> Bench:
    """Open a benchmark by name, or a file by path or URL.

    Args:
        name_or_path: A name of the catalogue, which is searched for in `data_dir`, `$LMUData` and
            `~/LMUData` and then downloaded; the name of another TSV file there; a path or URL of one;
            `vlmeval:<dataset>` for a dataset of VLMEvalKit, if that is installed; `rbench:<task>`
            for a task of R-Bench, whose files must be in one of these folders; `hf:owner/name` for a
            dataset of the Hub; or a file of another tool (COCO-VQA's `.json`, lmms-eval's `.yaml`, a
            folder of pictures with metadata).
        data_dir: A folder to search first, and to download to; it may be a URL.
        offline: Download nothing.
        family: How the benchmark is prompted and graded. By default the catalogue says it, or it is
            inferred from the file (see `Bench.family_reason`).
        settings: Settings of a download.
        answers: Treatment of right answers that are not labels of options, or missing.
        image_root: A folder that image files of a TSV may be in beside the TSV's own.
        columns: The columns of a dataset or of another tool's file, as `parse_columns` reads them.

    Returns:
        The benchmark with all its questions; images are read when they are needed.

    Raises:
        UnknownNameError: There is no such benchmark, dataset, task or family.
        UsageError: The name is a set of several files.
        DataError: The file is missing and `offline` is set, or it is not a valid benchmark.
        DownloadError: The file cannot be downloaded.
    """
    name = str(name_or_path)
    options = OpenOptions(
        data_dir, offline, family, answers, image_root, columns or {}, settings or FetchSettings()
    )
    if name.startswith(HUB) and not is_url(name):
        return open_hub_bench(name, options)
    if is_url(name):
        return read_bench(fetch_file(name), family=family, answers=answers, image_root=image_root)
    if name.startswith(_KIT):
        dataset = name.removeprefix(_KIT)
        return open_kit_bench(dataset, data_dir, offline=offline, family=family, answers=answers)
    if name.startswith(_RBENCH):
        return open_rbench(name.removeprefix(_RBENCH), data_dir, answers=answers)
    if looks_like_path(name) or isinstance(name_or_path, Path):
        return _open_path(Path(name).expanduser(), options)
    try:
        info = find_bench(name)
    except UnknownNameError:
        # Degraded copies are in the same folders, under names that the catalogue does not have.
        path = find_file(f"{name}.tsv", data_dir)
        if path is None:
            converted = named_files(name, data_dir)
            if not converted:
                raise
            return open_converted(converted[0], options)
        return read_bench(path, family=family, answers=answers, image_root=image_root)
    path = fetch_bench(info, data_dir=data_dir, offline=offline, settings=settings)
    return read_bench(path, info=info, family=family, answers=answers, image_root=image_root)


def _open_path(path: Path, options: OpenOptions) -> Bench:
    if path.suffix.lower() in _TASKS:
        dataset, told = read_task(path)
        return open_hub_bench(
            dataset, replace(options, columns={**told, **options.columns}, keeps_columns=False)
        )
    if path.suffix.lower() == ".json" or path.is_dir():
        return open_local_source(path, options)
    return read_bench(path, family=options.family, answers=options.answers, image_root=options.image_root)


def expand_benches(names: str | Iterable[str]) -> tuple[str, ...]:
    """The canonical names for names, sets and paths, each once; commas separate them.

    `mmd` is the six benchmarks of MMD-Bench, which are seven files, because `CV-Bench` is
    CV-Bench-2D and CV-Bench-3D. (The published MMD-Bench scores of CV-Bench are of CV-Bench-2D
    alone.) `rbench:all` is the three tasks of R-Bench, `rbench:ref` the same about its
    undistorted pictures. Paths of TSV files, `vlmeval:<dataset>` and
    `rbench:<task>` stay as they are. Raises UnknownNameError.

    >>> expand_benches("CV-Bench, mmvp")
    ('CV-Bench-2D', 'CV-Bench-3D', 'MMVP')
    """
    parts = names.split(",") if isinstance(names, str) else [p for n in names for p in n.split(",")]
    found: dict[str, None] = {}
    for part in (p.strip() for p in parts):
        if looks_like_path(part) or part.startswith(_KIT):
            found[part] = None
        elif part.lower() in _RBENCH_SETS:
            found.update(dict.fromkeys(f"{_RBENCH}{task}{_RBENCH_SETS[part.lower()]}" for task in TASKS))
        elif part.lower().startswith(_RBENCH):
            found[part.lower()] = None
        elif part:
            found.update(dict.fromkeys(bench_names(part)))
    return tuple(found)


def looks_like_path(name: str) -> bool:
    """True if a name means a file and not a benchmark of the catalogue."""
    return "/" in name or "\\" in name or name.lower().endswith(SOURCE_SUFFIXES)
