"""The catalogue of benchmarks, which is read from `catalog.toml` and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from mmdbench.errors import DataError, UnknownNameError, UsageError
from mmdbench.scoring.families import selectable_families
from mmdbench.system.toml import parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "BenchInfo",
    "bench_names",
    "bench_title",
    "clean_bench",
    "find_bench",
    "get_bench_names",
    "is_degraded",
    "is_outside",
    "parse_catalog",
    "refuse_degraded",
    "undistorted_of",
    "unlike_published",
]

_SEE = "mmdbench list benches"

_TEXTS = ("benchmark", "part_of", "title", "family", "url", "md5", "shipped", "source", "licence", "note")
_LISTS = ("columns", "aliases", "sets")
_RBENCH_TASKS = tuple(f"rbench{mark}{task}" for mark in ("", ":") for task in ("mcq", "vqa", "cap"))
_MD5 = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class BenchInfo:
    """One benchmark file of the catalogue.

    `benchmark` is the benchmark that the file is of, as gates and published scores name it. A file that is
    `part_of` a benchmark without being its published questions (CV-Bench-3D) is a row of its own, outside
    the mean over benchmarks. The pictures of a `degraded` benchmark are degraded as they are published.
    `title` is the name in tables, and is never compared. `rows` and `groups` are None if unknown. `shipped`
    names a file that comes with mmdbench, `url` one to download. `other_md5` maps the checksums of other
    known files of that name to a description.
    """

    name: str
    family: str
    benchmark: str = ""
    part_of: str = ""
    title: str = ""
    degraded: bool = False
    url: str = ""
    md5: str = ""
    shipped: str = ""
    rows: int | None = None
    groups: int | None = None
    columns: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    source: str = ""
    licence: str = "unknown"
    note: str = ""
    other_md5: Mapping[str, str] = field(default_factory=dict)


def get_bench_names() -> tuple[str, ...]:
    """The canonical names of all benchmarks in the catalogue, the six of MMD-Bench first.

    >>> get_bench_names()[:3]
    ('MMBench_DEV_EN_V11', 'MMVet', 'MMVP')
    """
    return tuple(_catalog())


def find_bench(name: str) -> BenchInfo:
    """The benchmark of a name; case, spaces, `-` and `_` do not matter.

    The paper's spellings work as well: `MM-Vet`, and `MMBench` for MMBench_DEV_EN_V11.
    Raises UnknownNameError, and UsageError for a name of several files (`CV-Bench`, `mmd`),
    which `expand_benches` resolves.

    >>> find_bench("mm-vet").name
    'MMVet'
    """
    names = bench_names(name)
    if len(names) > 1:
        raise UsageError(f"{name!r} means {len(names)} files: {', '.join(names)}.", hint="Name one of them.")
    return _catalog()[names[0]]


def bench_names(name: str) -> tuple[str, ...]:
    """The canonical names that a benchmark's or set's name means. Raises UnknownNameError.

    >>> bench_names("cv-bench")
    ('CV-Bench-2D', 'CV-Bench-3D')
    """
    names = _lookup().get(_plain(name), ())
    if not names:
        spellings = [s for n, i in _catalog().items() for s in (n, *i.aliases, *i.sets)]
        known = {_plain(s): s for s in reversed(spellings)}.values()
        raise UnknownNameError("benchmark", name, list(known), see=_SEE)
    return names


def clean_bench(stem: str) -> BenchInfo | None:
    """The benchmark that a file's name means, or that the file is a degraded copy of; None if neither.

    >>> clean_bench("MMVP_LOW_LEVEL_HIGH").name
    'MMVP'
    """
    for name in sorted(get_bench_names(), key=len, reverse=True):
        if stem.lower() == name.lower() or stem.lower().startswith(name.lower() + "_"):
            return find_bench(name)
    return None


def bench_title(name: str) -> str:
    """A benchmark's name in tables and notes; the name itself if the catalogue does not have it.

    >>> bench_title("MMBench_DEV_EN"), bench_title("my_own")
    ('MMBench DEV EN', 'my_own')
    """
    try:
        return find_bench(name).title
    except UsageError:
        return name


@lru_cache(maxsize=256)
def is_degraded(name: str) -> bool:
    """True if the pictures of a benchmark are degraded as they are published, so that no level adds to them.

    The undistorted pictures of R-Bench's tasks, which are asked as they are too, count among them.
    A path or `vlmeval:<dataset>` means the same as the name in it, and so does a copy of the file.

    >>> is_degraded("R-Bench-Dis"), is_degraded("rbench:vqa"), is_degraded("MMStar")
    (True, True, False)
    >>> is_degraded("data/R-bench-dis.tsv"), is_degraded("R-Bench-Dis_hard")
    (True, True)
    """
    stem = re.split(r"[/\\:]", name)[-1].removesuffix(".tsv")
    try:
        return find_bench(stem).degraded
    except UsageError:
        copied = clean_bench(stem)
        return _plain(name).startswith(_RBENCH_TASKS) or (copied is not None and copied.degraded)


def is_outside(name: str) -> bool:
    """True if a benchmark's file is a row of its own, outside the mean over benchmarks.

    >>> is_outside("CV-Bench-3D"), is_outside("CV-Bench-2D"), is_outside("R-Bench-VQA-Ref")
    (True, False, True)
    """
    try:
        return bool(find_bench(name).part_of)
    except UsageError:
        return bool(undistorted_of(name))


def refuse_degraded(names: Iterable[str], use: str) -> None:
    """Raise UsageError for the first benchmark whose pictures are degraded as they are published.

    Args:
        names: Names of benchmarks, as in `is_degraded`.
        use: The use that needs clean pictures.
    """
    for name in names:
        if is_degraded(name):
            asked = "asked" if undistorted_of(name) else "degraded"
            raise UsageError(
                f"The pictures of {name} are {asked} as they are published: {use} cannot use them.",
                hint="Name benchmarks with clean pictures: mmdbench list benches",
            )


def unlike_published(name: str, rows: int, md5: str = "") -> str:
    """The difference of a benchmark's file from the published one; empty if none is known.

    Args:
        name: The name of the benchmark's file.
        rows: Its number of rows.
        md5: Its MD5 if that is not the published one; else empty.

    Returns:
        The difference in words.
    """
    try:
        published = find_bench(name).rows
    except UsageError:
        return ""
    if published not in (None, rows):
        return f"{rows} rows, the published one has {published}"
    return f"{rows} rows, but not the published one (its MD5 is {md5})" if md5 else ""


def undistorted_of(name: str) -> str:
    """The benchmark whose undistorted pictures that of this name asks about; empty for all but R-Bench's.

    >>> undistorted_of("R-Bench-VQA-Ref"), undistorted_of("R-Bench-VQA")
    ('R-Bench-VQA', '')
    """
    base, dash, end = name.rpartition("-")
    return base if dash and end.lower() == "ref" and _plain(base) in _RBENCH_TASKS else ""


def parse_catalog(text: str, where: str = "catalog.toml") -> dict[str, BenchInfo]:
    """Parse a catalogue: one TOML table for each benchmark. Raises DataError that names the table."""
    try:
        tables = parse_toml(text)
    except ValueError as error:
        raise DataError(f"{where} is not valid TOML: {error}.") from error
    infos = {name: _info(name, table, f"{where} [{name}]") for name, table in tables.items()}
    _spellings(infos, where)
    return infos


def _info(name: str, table: Any, where: str) -> BenchInfo:
    if not isinstance(table, dict):
        raise DataError(f"{where} must be a table.")
    known = [f.name for f in fields(BenchInfo)][1:]
    for key, value in table.items():
        if key not in known:
            raise DataError(f"{where} has an unknown key {key!r}.", hint=f"Known: {', '.join(known)}.")
        if not _is_kind(key, value):
            raise DataError(f"{where}: {key} cannot be {value!r}.")
    if table.get("family") not in selectable_families():
        raise DataError(f"{where}: family must be one of {', '.join(selectable_families())}.")
    if bool(table.get("url")) == bool(table.get("shipped")):
        raise DataError(f"{where} must have either a url or the name of a shipped file.")
    if table.get("url") and not table["url"].startswith("https://"):
        raise DataError(f"{where}: url must start with https://.")
    for digest in (table.get("md5") or "0" * 32, *table.get("other_md5", {})):
        if not _MD5.fullmatch(digest):
            raise DataError(f"{where}: {digest!r} is not an MD5 of 32 hexadecimal digits.")
    values: dict[str, Any] = {key: tuple(value) if key in _LISTS else value for key, value in table.items()}
    benchmark = values.get("benchmark", name)
    return BenchInfo(name, **({"benchmark": benchmark, "title": benchmark} | values))


def _is_kind(key: str, value: Any) -> bool:
    if key in _TEXTS:
        return isinstance(value, str)
    if key in _LISTS:
        return isinstance(value, list) and all(isinstance(v, str) for v in value)
    if key == "other_md5":
        return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    if key == "degraded":
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _spellings(infos: Mapping[str, BenchInfo], where: str) -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for name, info in infos.items():
        for spelling in {_plain(s) for s in (name, *info.aliases)}:
            if spelling in table:
                raise DataError(
                    f"{where} [{name}]: the spelling {spelling!r} is one of {table[spelling][0]} already."
                )
            table[spelling] = (name,)
    for name, info in infos.items():
        for spelling in {_plain(s) for s in info.sets}:
            others = table.get(spelling, ())
            if any(spelling in {_plain(s) for s in (o, *infos[o].aliases)} for o in others):
                raise DataError(f"{where} [{name}]: the set {spelling!r} is the name of a benchmark.")
            table[spelling] = (*others, name)
    return table


@lru_cache(maxsize=1)
def _catalog() -> dict[str, BenchInfo]:
    text = resources.files("mmdbench.benches").joinpath("catalog.toml").read_text("utf-8")
    return parse_catalog(text, "mmdbench/benches/catalog.toml")


@lru_cache(maxsize=1)
def _lookup() -> dict[str, tuple[str, ...]]:
    return _spellings(_catalog(), "mmdbench/benches/catalog.toml")


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).lower()
