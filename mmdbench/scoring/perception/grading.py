"""Grades of perception runs: the claims of replies compared with the recipes of their pictures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmdbench.corruptions.spec import Spec
from mmdbench.corruptions.spec_file import shipped_spec
from mmdbench.errors import UsageError
from mmdbench.records import BenchData, Cell, Grade, Index, Reply, RunPlan, Verdict, chain_steps
from mmdbench.scoring import Score
from mmdbench.scoring.families.perceive import PERCEIVE
from mmdbench.scoring.perception.reading import Claims, read_claims
from mmdbench.scoring.perception.reward import degradation_reward
from mmdbench.scoring.sheet import ANSWERED

__all__ = ["PROTOCOL", "TASK", "check_perception", "score_perception"]

TASK = PERCEIVE.name
PROTOCOL = "perceive/3"
"""Version of the wording, the reading of replies and the grading of perception runs."""

_METRIC = PERCEIVE.metrics[0]
_WARN_UNREADABLE = 0.02


def check_perception(plan: RunPlan) -> None:
    """Raise UsageError for a plan that does not tell how its pictures were degraded."""
    if plan.design == "released":
        raise UsageError(
            "The released files do not say which corruption a picture met, so nothing could be graded.",
            hint="Choose another design: mixed, grid, balanced:K or chain:K.",
        )
    if plan.restore:
        raise UsageError(
            "A restored picture has no recipe that a claim could be graded against.",
            hint="Run --task perceive without --restore.",
        )


def score_perception(
    bench: BenchData, replies: Mapping[Index, Reply], cells: Sequence[Cell], spec: Spec | None = None
) -> Score:
    """Grade one arm of a perception run; every planned cell counts.

    A hit is a reply that names exactly the types of the recipe, or nothing for an untouched picture.
    Each grade's details hold truth and claims, `category` (0 or 1), `intensity_error` (0..1, None unless
    a right type has a strength), `r_deg` and `r_deg_code` (`degradation_reward` in the profiles `paper`
    and `code`), and the digest of the clean picture.

    Args:
        bench: The benchmark, with the task's questions.
        replies: The replies by the index of their question.
        cells: The planned cells of the arm.
        spec: The corruptions; by default those of the package.

    Returns:
        The score.
    """
    spec = spec or shipped_spec()
    grades = tuple(_grade(cell, replies.get(cell.index), spec) for cell in cells)
    counts = _counts(grades, replies)
    hits = math.fsum(grade.hit for grade in grades) / len(grades) if grades else 0.0
    unread = counts["unresolved"]
    return Score(
        bench=bench.name,
        family=bench.family,
        protocol=PROTOCOL,
        judge=None,
        judge_record={},
        headline=100 * hits,
        metric=_METRIC.label,
        metric_key=_METRIC.key,
        metrics={_METRIC.key: 100 * hits},
        vlmevalkit_table=[],
        table={},
        grades=grades,
        group_hits={},
        counts=counts,
        upper_bound=100 * (hits + unread / len(grades)) if grades else None,
        warnings=_warnings(bench.name, unread, len(grades)),
    )


def _grade(cell: Cell, reply: Reply | None, spec: Spec) -> Grade:
    truth = _truth(cell, reply, spec)
    if reply is None or reply.status not in ANSWERED:
        stage = "missing" if reply is None else "error"
        return _graded(cell, Claims((), "unreadable"), truth, spec, stage=stage)
    found = Claims((), "unreadable")
    if reply.status == "ok" or (reply.status == "truncated" and reply.text):
        found = read_claims(_whole(reply), spec.types)
    stage = found.stage if reply.status in ("ok", "truncated") else reply.status
    return _graded(cell, found, truth, spec, stage=stage, picture=_picture(reply))


def _whole(reply: Reply) -> str:
    # The text of a model that ends in an answer block is that block alone; `raw` holds the others.
    raw = reply.details.get("raw")
    return raw if isinstance(raw, str) else reply.text


def _graded(
    cell: Cell, found: Claims, truth: Mapping[str, float], spec: Spec, *, stage: str, picture: str = ""
) -> Grade:
    readable = found.stage != "unreadable"
    right = readable and set(found.types) == set(truth) and len(found.types) == len(truth)
    claimed = [(claim.type, claim.intensity) for claim in found.claims]
    categories = {spec.corruptions[name].category for name in truth}
    named = {spec.corruptions[t].category if t in spec.corruptions else t for t in found.types}
    verdict: Verdict = "correct" if right else "wrong" if readable else "unresolved"
    details: dict[str, Any] = {
        "truth": dict(truth),
        "said": [list(pair) for pair in claimed],
        "category": float(readable and named == categories),
        "intensity_error": _error(truth, claimed),
        "r_deg": degradation_reward(truth, claimed),
        "r_deg_code": degradation_reward(truth, claimed, "code"),
        "picture": picture,
    }
    label = ", ".join(found.types) or "none" if readable else None
    return Grade(cell.bench, cell.index, verdict, float(right), label, stage, details)


def _truth(cell: Cell, reply: Reply | None, spec: Spec) -> dict[str, float]:
    steps = chain_steps(cell.corruption)
    if not steps:
        return {}
    recipe = reply.images[0].get("recipe", {}) if reply is not None and reply.images else {}
    intensity = recipe.get("intensity")
    return dict.fromkeys(
        steps, float(spec.intensity(cell.level, cell.corruption) if intensity is None else intensity)
    )


def _picture(reply: Reply) -> str:
    return " ".join(str(image.get("recipe", {}).get("image", ""))[:16] for image in reply.images)


def _error(truth: Mapping[str, float], claimed: Sequence[tuple[str, float | None]]) -> float | None:
    """Mean distance over the right types with a strength; of one that is named twice the first counts."""
    errors: dict[str, float] = {}
    for name, value in claimed:
        if name in truth and value is not None:
            errors.setdefault(name, abs(value - truth[name]))
    return math.fsum(errors.values()) / len(errors) if errors else None


def _counts(grades: Sequence[Grade], replies: Mapping[Index, Reply]) -> dict[str, int]:
    stages = Counter(grade.stage for grade in grades)
    statuses = Counter(reply.status for reply in replies.values())
    answered = len(grades) - stages["missing"] - stages["error"]
    unresolved = sum(grade.verdict == "unresolved" for grade in grades)
    return {
        "planned": len(grades),
        "answered": answered,
        "resolved": len(grades) - unresolved,
        "unresolved": stages["unreadable"],
        "judged": 0,
        "judge_failed": 0,
        "missing": stages["missing"],
        "error": stages["error"],
        "refused": stages["refused"],
        "empty": stages["empty"],
        "truncated": statuses["truncated"],
        "inference_failed": 0,
    }


def _warnings(bench: str, unread: int, planned: int) -> tuple[str, ...]:
    if unread <= _WARN_UNREADABLE * planned:
        return ()
    return (f"{bench}: {unread} of {planned} replies name no degradation that could be read.",)
