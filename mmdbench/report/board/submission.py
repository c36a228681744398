"""A submission: one JSON file with the grades of a run, its identity, and the digests of its files.

Scores, intervals and ranks are computed from the grades, so that a file cannot claim other ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypedDict

from mmdbench.errors import DataError, UsageError
from mmdbench.records import ANSWER, LEVEL_ORDER, Index, RunPlan, in_order
from mmdbench.report.identity import IdentityRecord, identity
from mmdbench.report.packed_hits import pack_hits, unpack_hits
from mmdbench.report.tables.run_notes import run_notes
from mmdbench.results.freshness import freshness
from mmdbench.results.graded_run import RunResults, UnitHit, catalogue_names
from mmdbench.results.hit_columns import in_columns
from mmdbench.run.file_records import GROWING_FILES, WHOLE_FILES
from mmdbench.system.digest import file_hash, with_digest, without_digest
from mmdbench.system.files import MANIFEST_FILE
from mmdbench.system.json_text import parse_json
from mmdbench.system.printable import json_text
from mmdbench.system.shapes import check_shape

__all__ = ["Submission", "file_digests", "make_submission", "read_submission", "submission_text"]

_KIND = "mmdbench submission"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission: its record as in the file, and the run that its grades make.

    `results` holds hits alone, no replies; `path` is the file, None for one that was just made.
    """

    record: Mapping[str, Any]
    results: RunResults
    path: Path | None = None

    @property
    def name(self) -> str:
        """The name of the run in tables."""
        return self.results.name

    @property
    def identity(self) -> Mapping[str, Any]:
        """The record of the settings that decide which runs can be compared with it."""
        found: Mapping[str, Any] = self.record["identity"]
        return found

    @property
    def changed(self) -> bool:
        """True if the file was changed after it was written: it does not match its digest."""
        try:
            without_digest(self.record)
        except ValueError:
            return True
        return False

    @property
    def problem(self) -> str:
        """The reason why it gets no rank; empty if there is none."""
        return str(self.record["problem"])


class _ArmRecord(TypedDict):
    level: str
    corruptions: list[str]
    corruption: list[int]
    questions: list[int]
    hits: list[str] | list[float]


class _BenchRecord(TypedDict):
    questions: list[tuple[int | str, str]]
    arms: list[_ArmRecord]


class _Settings(TypedDict):
    protocol: str
    extraction: str
    design: str
    corruptions: list[str]
    levels: list[str]
    model: str


class _Corruption(TypedDict):
    category: str
    meaning: str
    code: str


class _Spec(TypedDict, total=False):
    set: str
    version: str
    corruptions: dict[str, _Corruption]


class _SubmissionRecord(TypedDict):
    label: str
    identity: IdentityRecord
    judge: str
    problem: str
    asked: str
    notes: list[str]
    spec: _Spec
    files: dict[str, str]
    grades: dict[str, _BenchRecord]
    digest: str


def make_submission(run: RunResults) -> Submission:
    """The submission of a graded run.

    Raises UsageError for a run of another task than `answer`, without a folder or without a score.
    """
    if run.plan.task != ANSWER:
        raise UsageError(
            f"A board must be of runs of the task {ANSWER!r}, {run.name} is of {run.plan.task!r}."
        )
    if run.folder is None or not len(run.hits):
        raise UsageError(f"A submission must hold a score, and {run.folder or run.name} has none.")
    record = {
        "kind": _KIND,
        "version": _VERSION,
        "label": run.name,
        "identity": identity(run),
        "judge": run.judge,
        "problem": run.problem,
        "asked": freshness(run).oldest,
        "notes": list(run_notes(run)),
        "spec": dict(run.manifest.get("spec", {})),
        "files": file_digests(run.folder),
        "grades": {bench: _grades(run, bench) for bench in run.columns.bench.distinct},
    }
    made = parse_json(submission_text(record).encode())
    return _submission(made, None)


def submission_text(record: Mapping[str, Any]) -> str:
    """A submission as the text of its file, with its digest."""
    plain = {name: value for name, value in record.items() if name != "digest"}
    return json_text(with_digest(plain)) + "\n"


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a run that its grades come from, by name."""
    patterns = (MANIFEST_FILE, *WHOLE_FILES, *GROWING_FILES)
    found = (p for p in sorted(folder.iterdir()) if any(fnmatch(p.name, pattern) for pattern in patterns))
    return {path.name: file_hash(path, "sha256") for path in found if path.is_file()}


def read_submission(path: Path, *, changed: bool = False) -> Submission:
    """Read a submission from its file; with `changed` also one that does not match its digest.

    Raises:
        UsageError: The file does not exist.
        DataError: It is no submission, it was changed after it was written, or its grades cannot be.
    """
    try:
        record = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(
            f"There is no submission {path}.", hint="Write one: mmdbench board RUN -o DIR"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read the submission {path}: {error}.") from error
    if not isinstance(record, dict) or record.get("kind") != _KIND:
        raise DataError(
            f"{path} is not a submission of mmdbench.", hint="Write one: mmdbench board RUN -o DIR"
        )
    if record.get("version") != _VERSION:
        raise DataError(f"{path} must be a submission of version {_VERSION}, got {record.get('version')!r}.")
    try:
        if not changed:
            without_digest(record)
        check_shape(record, _SubmissionRecord, "submission")
        check_shape(record["identity"], _Settings, "submission.identity")
        return _submission(record, path)
    except ValueError as error:
        hint = "Write it again from the run's folder: mmdbench board RUN -o DIR"
        raise DataError(f"The submission {path} is damaged ({error}).", hint=hint) from error


def _submission(record: Mapping[str, Any], path: Path | None) -> Submission:
    settings = record["identity"]
    hits = [hit for bench, grades in record["grades"].items() for arm in _arms(bench, grades) for hit in arm]
    if not hits:
        raise ValueError("it holds no grade")
    plan = RunPlan(
        settings["model"],
        tuple(record["grades"]),
        levels=in_order(settings["levels"]),
        design=settings["design"],
        corruptions=tuple(settings["corruptions"]),
        protocol=settings["protocol"],
        extraction=settings["extraction"],
    )
    results = RunResults(
        manifest={"spec": record["spec"]},
        plan=plan,
        arms=(),
        hits=in_columns(hits),
        statuses={},
        label=record["label"],
        judge=record["judge"],
        **catalogue_names(record["grades"]),
    )
    return Submission(record, results, path)


def _grades(run: RunResults, bench: str) -> dict[str, Any]:
    """The grades of a benchmark: its questions with their strata, and its arms by level."""
    arms: dict[str, list[UnitHit]] = {}
    questions: dict[tuple[Index, str], int] = {}
    for hit in run.columns.of(bench):
        questions.setdefault((hit.unit, hit.stratum), len(questions))
        arms.setdefault(hit.level, []).append(hit)
    packed = []
    for level in in_order(arms):
        names = list(dict.fromkeys(hit.corruption or "" for hit in arms[level]))
        packed.append(
            {
                "level": level,
                "corruptions": names,
                "corruption": [names.index(hit.corruption or "") for hit in arms[level]],
                "questions": [questions[hit.unit, hit.stratum] for hit in arms[level]],
                "hits": pack_hits([hit.hit for hit in arms[level]]),
            }
        )
    return {"questions": [list(question) for question in questions], "arms": packed}


def _arms(bench: str, grades: Mapping[str, Any]) -> Iterator[list[UnitHit]]:
    """The hits of each arm. Raises ValueError for what no run holds, such as a question counted twice."""
    questions = grades["questions"]
    levels = [arm["level"] for arm in grades["arms"]]
    if len(set(levels)) < len(levels) or len(set(map(tuple, questions))) < len(questions):
        raise ValueError(f"{bench} lists a level or a question twice")
    for arm in grades["arms"]:
        where, hits = f"{bench} at {arm['level']}", unpack_hits(arm["hits"])
        places, names = arm["questions"], arm["corruption"]
        if arm["level"] not in LEVEL_ORDER:
            raise ValueError(f"there is no level {arm['level']!r}")
        if not len(places) == len(names) == len(hits):
            raise ValueError(f"{where} has {len(hits)} grades of {len(places)} questions")
        if len(set(zip(places, names, strict=True))) < len(hits):
            raise ValueError(f"{where} counts a question twice")
        if not all(0 <= n < len(questions) for n in places):
            raise ValueError(f"{where} grades a question that is not listed")
        if not all(0 <= n < len(arm["corruptions"]) for n in names):
            raise ValueError(f"{where} names a corruption that is not listed")
        found = []
        for place, name, hit in zip(places, names, hits, strict=True):
            unit, stratum = questions[place]
            corruption = arm["corruptions"][name] or None
            found.append(UnitHit(bench, unit, arm["level"], corruption, "", hit, stratum))
        yield found
