"""A baseline: one small text file with the grade of every question and the identity of its run.

It is made to be committed: a hit is one character, a line holds a hundred questions, so a diff
shows which answers changed. The file keeps digests of the questions, not the questions: these come
from the run that is checked, in the same order. It ends with a digest of its own; one of an early
version, without it, is read too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict

from msgspec import structs

from mmdbench.errors import DataError, IncomparableError, IncompleteError, UsageError
from mmdbench.models.names import is_one_model
from mmdbench.report.identity import SERVED, Difference, IdentityRecord, identity, require_comparable
from mmdbench.report.packed_hits import pack_hits, unpack_hits
from mmdbench.report.scores import levels_of, main_rows
from mmdbench.results.freshness import stale_problem
from mmdbench.results.graded_run import RunResults, UnitHit
from mmdbench.results.served import served_models
from mmdbench.run.served_models import names_text
from mmdbench.stats.rounding import fixed
from mmdbench.system.digest import value_digest, with_digest, without_digest
from mmdbench.system.files import write_atomic
from mmdbench.system.json_text import parse_json
from mmdbench.system.shapes import check_shape

__all__ = ["Baseline", "accept", "read_baseline"]

_KIND = "mmdbench baseline"
_VERSION = 1

_Arm = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Kept:
    """An arm of a baseline: digests of its questions and pixels (empty if unknown), and its hits."""

    questions: str
    pixels: str
    hits: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline as read from its file: the identity of its run, and grades by benchmark and arm.

    With `allow_model_change` it is compared with a run whose server answered as another model.
    """

    path: Path
    identity: Mapping[str, Any]
    grades: Mapping[str, Mapping[str, _Kept]]
    allow_model_change: bool = False

    def as_run(self, like: RunResults) -> tuple[RunResults, list[Difference]]:
        """The baseline as a run over the questions of another run, and what differs between the two.

        Raises:
            IncomparableError: The two differ in a question, or in a setting that must be equal.
        """
        sample = self.identity.get("sample")
        again = f"--sample {sample}" if sample else "no --sample"
        hint = f"Ask the baseline's questions ({again}), or write a new baseline: --accept."
        found = require_comparable(self.identity, identity(like), sample_hint=hint)
        if not self.allow_model_change:
            _require_served_alike(found)
        hits: list[UnitHit] = []
        pixels = _pixels(like)
        for (bench, level, corruption), ours in _arms(like).items():
            name = _name(level, corruption)
            kept = self.grades.get(bench, {}).get(name)
            if kept is None:
                continue
            if kept.questions != _digest(ours):
                raise IncomparableError(
                    f"{self.path} and the run hold different questions of {bench} at {name}.",
                    hint="Write a new baseline: mmdbench check RUN --baseline FILE --accept",
                )
            seen = pixels.get((bench, level, corruption), "")
            if len(kept.hits) != len(ours):
                raise _damaged(
                    self.path, f"{len(kept.hits)} grades of {len(ours)} questions of {bench} at {name}"
                )
            if kept.pixels and seen and kept.pixels != seen:
                found.append(Difference(f"pixels of {bench} at {name}", kept.pixels, seen, blocks=False))
            hits += [structs.replace(hit, hit=value) for hit, value in zip(ours, kept.hits, strict=True)]
        label = str(self.identity.get("model", ""))
        return replace(like, hits=tuple(hits), label=f"{label} (baseline)", replies={}, arms=()), found


def _require_served_alike(found: Sequence[Difference]) -> None:
    for difference in found:
        if difference.field == SERVED and difference.id:
            raise IncomparableError(
                f"The baseline and the run are of different models, by the names that the servers gave: "
                f"{difference.first} against {difference.second}.",
                hint="--allow-model-change compares them; --accept writes a new baseline.",
            )


def accept(
    run: RunResults, path: Path, max_age: timedelta | None = None, *, allow_model_change: bool = False
) -> int:
    """Write a run as the baseline.

    Args:
        run: The graded run.
        path: The file to write.
        max_age: The greatest age of a reply; None for any.
        allow_model_change: Accept a run that several models answered.

    Returns:
        The number of grades written.

    Raises:
        IncompleteError: Too many answers are missing, too old or not judged, or none can be read.
        UsageError: The run has no score.
        IncomparableError: Several models answered, by the names that the server gave.
    """
    models = served_models(run).get("models", {})
    if not allow_model_change and not is_one_model(models):
        raise IncomparableError(
            f"Several models answered this run: {names_text(models, models)}.",
            hint="Ask it anew with mmdbench eval --fresh, or add --allow-model-change.",
        )
    if run.problem:
        finish = "Run the same mmdbench eval command again to finish it."
        raise IncompleteError(
            f"{run.problem.removesuffix('.')}: this run cannot be a baseline.",
            hint="See the notes of mmdbench report RUN." if run.complete else finish,
        )
    problem = stale_problem(run, max_age)
    if problem:
        raise IncompleteError(problem)
    if not run.hits:
        raise UsageError("A baseline must hold a score, and this run has none.")
    grades: dict[str, dict[str, Any]] = {}
    pixels = _pixels(run)
    for (bench, level, corruption), hits in _arms(run).items():
        seen = pixels.get((bench, level, corruption), "")
        packed = {"questions": _digest(hits), "pixels": seen, "hits": pack_hits([hit.hit for hit in hits])}
        grades.setdefault(bench, {})[_name(level, corruption)] = packed
    rows = main_rows(run, levels_of([run]))
    record = {
        "kind": _KIND,
        "version": _VERSION,
        "scores": {row.name: {lv: float(fixed(e.value, 2)) for lv, e in row.scores.items()} for row in rows},
        "identity": identity(run),
        "grades": grades,
    }
    write_atomic(path, json.dumps(with_digest(record), indent=1, ensure_ascii=False) + "\n")
    return len(run.hits)


def read_baseline(path: Path, *, allow_model_change: bool = False) -> Baseline:
    """Read a baseline; `allow_model_change` is a field of it.

    Raises:
        UsageError: The file does not exist.
        DataError: The file is not a baseline, or one of another version.
    """
    try:
        record = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(
            f"There is no baseline {path}.",
            hint="Write the first one: mmdbench check RUN --baseline FILE --accept, or run.accept(FILE).",
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read the baseline {path}: {error}.") from error
    if not isinstance(record, dict) or record.get("kind") != _KIND:
        raise DataError(f"{path} is not a baseline of mmdbench.")
    if record.get("version") != _VERSION:
        raise DataError(
            f"{path} must be a baseline of version {_VERSION}, got {record.get('version')!r}.",
            hint="Write it again with --accept.",
        )
    try:
        check_shape(without_digest(record), _BaselineRecord, "baseline")
        grades = {
            bench: {
                arm: _Kept(kept["questions"], kept.get("pixels", ""), tuple(unpack_hits(kept["hits"])))
                for arm, kept in arms.items()
            }
            for bench, arms in record["grades"].items()
        }
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return Baseline(path, record["identity"], grades, allow_model_change)


class _Digests(TypedDict):
    questions: str
    hits: list[str] | list[float]


class _ArmRecord(_Digests, total=False):
    pixels: str


class _BaselineRecord(TypedDict):
    identity: IdentityRecord
    grades: dict[str, dict[str, _ArmRecord]]


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"The baseline {path} is damaged ({why}).",
        hint="Take it from version control again, or delete it and write it with --accept.",
    )


def _arms(run: RunResults) -> dict[_Arm, list[UnitHit]]:
    arms: dict[_Arm, list[UnitHit]] = {}
    for hit in run.hits:
        corruption = hit.corruption if run.apart and hit.corruption else ""
        arms.setdefault((hit.bench, hit.level, corruption), []).append(hit)
    order = {key: sorted(hits, key=lambda h: (isinstance(h.unit, str), h.unit)) for key, hits in arms.items()}
    return {key: order[key] for key in sorted(order)}


def _pixels(run: RunResults) -> dict[_Arm, str]:
    # Another OpenCV or libjpeg may show the model other pictures under the same recipe.
    shown: dict[_Arm, list[tuple[str, list[str]]]] = {}
    for cell, reply in run.replies.items():
        if cell.repeat > 1:  # the same pictures again
            continue
        corruption = cell.corruption if run.apart and cell.corruption else ""
        images = [str(image.get("pixels", "")) for image in reply.images]
        shown.setdefault((cell.bench, cell.level, corruption), []).append((str(cell.index), images))
    return {arm: value_digest(sorted(rows))[:16] for arm, rows in shown.items()}


def _name(level: str, corruption: str) -> str:
    return f"{level} {corruption}".strip()


def _digest(hits: Sequence[UnitHit]) -> str:
    return value_digest([[hit.unit, hit.corruption, hit.stratum] for hit in hits])[:16]
