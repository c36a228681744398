"""The shapes of a build's manifest and log, checked when they are read."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from mmdbench.builds.part_files import FileRecord
from mmdbench.builds.plan import BuildPlan, Output
from mmdbench.records import Index, Recipe

__all__ = ["BuildManifest", "Kind", "LogHead", "LogRow", "OutputRecord"]


class Kind(TypedDict):
    """The field of every manifest and head of a log that names its kind."""

    kind: str


class _Bench(TypedDict):
    name: str
    family: str
    file: str
    sha256: str


class _Code(TypedDict):
    code: str


class _SpecVersion(TypedDict):
    version: str
    digest: str


class _Spec(_SpecVersion, total=False):
    corruptions: dict[str, _Code]


class _Identity(Kind):
    plan: BuildPlan
    spec: _Spec
    benches: list[_Bench]
    versions: dict[str, str | None]


class _WholeOutput(TypedDict):
    bench: str
    level: Literal["clean", "recoded", "low", "mid", "hard", "unaltered"]
    corruption: str | None
    rows: int
    pictures: int
    references: int
    no_ops: int
    log: FileRecord
    files: list[FileRecord]


class OutputRecord(_WholeOutput, total=False):
    """A finished output in a manifest or checkpoint."""

    left_out: int


class BuildManifest(_Identity):
    """A build's manifest as far as it is read again."""

    complete: bool
    outputs: list[OutputRecord]


class LogHead(_Identity):
    """The first line of a log."""

    output: Output


class _Picture(TypedDict):
    recipe: Recipe
    params: dict[str, Any]
    pixels: str
    bytes: str
    no_op: bool


class _Row(TypedDict):
    index: Index
    corruption: str | None
    images: list[_Picture]


class LogRow(_Row, total=False):
    """A line of a log after the first."""

    refers: str
    left_out: str
    file: str
    files: list[str]
