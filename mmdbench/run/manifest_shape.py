"""The shape of a run's manifest, checked when it is read.

Early versions wrote less, so nearly nothing must be there; what is there must be of these types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from mmdbench.models.prices import Price
from mmdbench.records import RunPlan
from mmdbench.run.file_records import RunFile
from mmdbench.run.generations import Generation

__all__ = ["RunManifest"]


class _BenchFile(TypedDict):
    name: str
    sha256: str


class _Bench(_BenchFile, total=False):
    family: str
    questions: int
    md5: str
    source: str
    notes: list[str]


class _Instruction(TypedDict):
    id: str
    exact: bool


class _Fingerprint(TypedDict, total=False):
    instruction: _Instruction | None


class _Model(TypedDict, total=False):
    name: str
    adapter: str
    model: str
    endpoint: str
    options: dict[str, Any]
    generation: dict[str, Any]
    price: Price | None
    context: int | None
    images: dict[str, Any]
    fingerprint: _Fingerprint


class _Named(TypedDict):
    name: str


class _Restoration(TypedDict):
    fingerprint: _Named
    clean: bool


class _Released(TypedDict):
    bench: str
    level: str
    corruption: str | None
    file: str
    sha256: str
    differ: int


class _Span(TypedDict):
    since: str
    until: str
    said: str


class _CheckProbes(TypedDict):
    probes: list[Any]


class _Check(_CheckProbes, total=False):
    generation: int


class _Canary(TypedDict, total=False):
    verdict: str | None
    fingerprint: str
    probes: list[Any]
    checks: list[_Check]
    suspects: list[_Span]


class _Prompt(TypedDict):
    id: str


class _Rules(TypedDict, total=False):
    protocol: str


class _JudgeName(TypedDict):
    id: str


class _Judge(_JudgeName, total=False):
    heads: str
    prompts: list[_Prompt]
    rules: _Rules
    judged: int
    judge_failed: int


class _Served(TypedDict, total=False):
    models: dict[str, int]
    system_fingerprints: dict[str, int]


class _JudgeSession(TypedDict, total=False):
    judge: str
    served: _Served


class _Session(TypedDict, total=False):
    begun: str
    seconds: float
    asked: int
    batches: Mapping[str, Any]


class _Corruption(TypedDict):
    category: Literal["capture", "transmission", "environmental", "post_processing"]
    meaning: str
    code: str


class _Spec(TypedDict, total=False):
    set: str
    version: str
    digest: str
    corruptions: dict[str, _Corruption]


class RunManifest(TypedDict, total=False):
    """A run's manifest as far as it is read again."""

    kind: str
    label: str
    plan: RunPlan
    benches: list[_Bench]
    model: _Model
    spec: _Spec
    versions: dict[str, str | None]
    restoration: _Restoration | None
    released: list[_Released]
    sessions: list[_Session]
    generation: Generation
    canary: _Canary
    judge: _Judge | None
    judges: list[_Judge]
    judge_sessions: list[_JudgeSession]
    extraction: str | None
    excluded: dict[str, dict[str, int]]
    merged: list[str]
    prompt_override: bool
    files: dict[str, RunFile]
