"""A baseline: one small text file with the grade of every question and what they are grades of.

It is made to be committed: a hit is one character, a line holds a hundred questions, so a diff
shows which answers changed. Which question a character stands for follows from the benchmark's
file, whose digest is kept; the run that is checked brings the questions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdbench.errors import DataError, IncomparableError, IncompleteError, UsageError
from mmdbench.report.identity import Difference, identity, require_comparable
from mmdbench.report.scores import main_rows
from mmdbench.report.tables.rounding import fixed
from mmdbench.results.graded_run import RunResults, UnitHit
from mmdbench.system.digest import value_digest
from mmdbench.system.files import write_atomic

__all__ = ["Baseline", "accept", "read_baseline"]

_KIND = "mmdbench baseline"
_VERSION = 1
_WIDTH = 100

_Arm = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline as read: the identity of its run, and its grades by benchmark and arm."""

    path: Path
    identity: Mapping[str, Any]
    grades: Mapping[str, Mapping[str, Mapping[str, Any]]]

    def beside(self, run: RunResults) -> tuple[RunResults, list[Difference]]:
        """The baseline's hits as a run over the same questions, and how the two differ.

        Raises IncomparableError if they differ in what must be equal, or in a question.
        """
        found = require_comparable(self.identity, identity(run))
        hits: list[UnitHit] = []
        pixels = _pixels(run)
        for (bench, level, corruption), ours in _arms(run).items():
            kept = self.grades.get(bench, {}).get(_name(level, corruption))
            if kept is None:
                continue
            if kept["questions"] != _digest(ours):
                raise IncomparableError(
                    f"{self.path} and the run hold other questions of {bench} at {_name(level, corruption)}.",
                    hint="Write a new baseline: mmdbench check RUN --baseline FILE --accept",
                )
            seen = pixels.get((bench, level, corruption), "")
            if kept.get("pixels") and seen and kept["pixels"] != seen:
                place = f"{bench} at {_name(level, corruption)}"
                found.append(Difference(f"pixels of {place}", kept["pixels"], seen, blocks=False))
            hits += [replace(hit, hit=value) for hit, value in zip(ours, _unpack(kept["hits"]), strict=True)]
        label = str(self.identity.get("model", ""))
        return replace(run, hits=tuple(hits), label=f"{label} (baseline)", replies={}, arms=()), found


def accept(run: RunResults, path: Path) -> int:
    """Write the run as the baseline; returns how many grades it holds.

    Raises IncompleteError for a run that lacks answers, UsageError for one without a score.
    """
    if not run.complete:
        raise IncompleteError(
            f"{run.failed} of {run.planned} answers are missing: this run cannot be a baseline.",
            hint="Finish it first: run the same command again.",
        )
    if not run.hits:
        raise UsageError("The run has no score that could be a baseline.")
    grades: dict[str, dict[str, Any]] = {}
    pixels = _pixels(run)
    for (bench, level, corruption), hits in _arms(run).items():
        seen = pixels.get((bench, level, corruption), "")
        packed = {"questions": _digest(hits), "pixels": seen, "hits": _pack([hit.hit for hit in hits])}
        grades.setdefault(bench, {})[_name(level, corruption)] = packed
    rows = main_rows(run, run.plan.levels)
    record = {
        "kind": _KIND,
        "version": _VERSION,
        "scores": {row.name: {lv: float(fixed(e.value, 2)) for lv, e in row.scores.items()} for row in rows},
        "identity": identity(run),
        "grades": grades,
    }
    write_atomic(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return len(run.hits)


def read_baseline(path: Path) -> Baseline:
    """Read a baseline. Raises UsageError if there is none, DataError if it is not one."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"There is no baseline {path}.",
            hint="Write the first one: mmdbench check RUN --baseline FILE --accept",
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read the baseline {path}: {error}.") from error
    if not isinstance(record, dict) or record.get("kind") != _KIND:
        raise DataError(f"{path} is no baseline of mmdbench.")
    if record.get("version") != _VERSION:
        raise DataError(
            f"{path} is a baseline of version {record.get('version')!r}, this mmdbench reads {_VERSION}.",
            hint="Write it again with --accept.",
        )
    return Baseline(path, record["identity"], record["grades"])


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
        corruption = cell.corruption if run.apart and cell.corruption else ""
        images = [str(image.get("pixels", "")) for image in reply.images]
        shown.setdefault((cell.bench, cell.level, corruption), []).append((str(cell.index), images))
    return {arm: value_digest(sorted(rows))[:16] for arm, rows in shown.items()}


def _name(level: str, corruption: str) -> str:
    return f"{level} {corruption}".strip()


def _digest(hits: Sequence[UnitHit]) -> str:
    return value_digest([[hit.unit, hit.corruption, hit.stratum] for hit in hits])[:16]


def _pack(hits: Sequence[float]) -> list[Any]:
    if all(hit in (0.0, 1.0) for hit in hits):
        text = "".join("1" if hit else "0" for hit in hits)
        return [text[i : i + _WIDTH] for i in range(0, len(text), _WIDTH)]
    return list(hits)


def _unpack(packed: Sequence[Any]) -> list[float]:
    if packed and isinstance(packed[0], str):
        return [float(c) for c in "".join(packed)]
    return [float(value) for value in packed]
