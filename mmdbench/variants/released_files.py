"""The authors' own degraded files, where a user has them: found by name, never made.

They lie beside the clean ones and are named after them: `MMVP_LOW_LEVEL_HIGH.tsv` holds every
question at Hard under one drawn corruption (the three are `_LOW_LEVEL_LOW`, `_LOW_LEVEL_MID` and
`_LOW_LEVEL_HIGH`), `MMVP_motion_blur.tsv` every question under that corruption, whose level the
name does not tell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdbench.benches.catalog import find_bench, get_bench_names
from mmdbench.benches.fetch import data_folders
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import DataError
from mmdbench.system.remote import add_from_data_url

__all__ = ["ReleasedFile", "find_released", "released_file", "require_released"]

_LEVELS = {"LOW": "low", "MID": "mid", "HIGH": "hard"}
_BY_LEVEL = re.compile(r"(?P<bench>.+)_LOW_LEVEL_(?P<level>LOW|MID|HIGH)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReleasedFile:
    """A degraded TSV of the authors: its place, the clean benchmark, and what the name tells.

    `level` is empty for a file of one corruption, `corruption` is empty for a mixed one.
    """

    path: Path
    bench: str
    level: str = ""
    corruption: str = ""


def released_file(path: Path) -> ReleasedFile | None:
    """What a file is by its name; None if it is no degraded copy of a known benchmark.

    >>> released_file(Path("MMVP_LOW_LEVEL_HIGH.tsv")).level
    'hard'
    >>> released_file(Path("CV-Bench-2D_motion_blur.tsv")).corruption
    'motion_blur'
    """
    if path.suffix.lower() != ".tsv":
        return None
    match = _BY_LEVEL.fullmatch(path.stem)
    if match:
        bench = _bench(match["bench"])
        return ReleasedFile(path, bench, level=_LEVELS[match["level"].upper()]) if bench else None
    for name in load_spec().corruptions:
        if path.stem.lower().endswith(f"_{name}"):
            bench = _bench(path.stem[: -len(name) - 1])
            return ReleasedFile(path, bench, corruption=name) if bench else None
    return None


def find_released(bench: str, data_dir: str | Path | None = None) -> tuple[ReleasedFile, ...]:
    """The authors' files of one benchmark in `data_dir`, `$LMUData` and `~/LMUData`, the first of each kind.

    Levels come first, weakest first, then corruptions in the order of the spec.
    """
    name = find_bench(bench).name
    found: dict[tuple[str, str], ReleasedFile] = {}
    for folder in data_folders(data_dir):
        add_from_data_url(folder, lambda file: _is_of(file, name))
        for path in sorted(folder.glob("*.tsv")) if folder.is_dir() else ():
            file = released_file(path)
            if file is not None and file.bench == name:
                found.setdefault((file.level, file.corruption), file)
    kinds = [(level, "") for level in _LEVELS.values()] + [("", name) for name in load_spec().corruptions]
    return tuple(found[kind] for kind in kinds if kind in found)


def require_released(
    bench: str, levels: Sequence[str], data_dir: str | Path | None = None
) -> dict[str, ReleasedFile]:
    """The authors' mixed file of each level. Raises DataError that names those which are missing."""
    found = {file.level: file for file in find_released(bench, data_dir) if file.level}
    name = find_bench(bench).name
    upper = {level: suffix for suffix, level in _LEVELS.items()}
    missing = [f"{name}_LOW_LEVEL_{upper[level]}.tsv" for level in levels if level not in found]
    if missing:
        places = ", ".join(map(str, data_folders(data_dir)))
        raise DataError(
            f"The released files {', '.join(missing)} were not found in {places}.",
            hint="Name their folder with --data-dir, ask only levels that are there with --level, "
            "or make degraded images: --design mixed.",
        )
    return {level: found[level] for level in levels}


def _is_of(file: str, bench: str) -> bool:
    known = released_file(Path(file))
    return known is not None and known.bench == bench


def _bench(text: str) -> str:
    plain = text.lower()
    return next((name for name in get_bench_names() if name.lower() == plain), "")
