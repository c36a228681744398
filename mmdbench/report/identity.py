"""Identity of a run: the settings that must be equal before two runs are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from mmdbench.errors import IncomparableError
from mmdbench.models.endpoints import public_address
from mmdbench.models.names import is_one_model
from mmdbench.records import ANSWER
from mmdbench.results.graded_run import RunResults
from mmdbench.results.served import served_models
from mmdbench.scoring import extraction_version, prompt_kind
from mmdbench.scoring.families import stored_family

__all__ = ["SERVED", "Difference", "IdentityRecord", "differences", "identity", "require_comparable"]

_MUST = {
    "task": "task",
    "protocol": "scoring protocol",
    "extraction": "answer extraction",
    "design": "design",
    "corruptions": "corruptions",
    "seed": "seed",
    "profile": "profile",
    "codec": "codec",
    "spec": "corruption spec",
    "judge": "judge",
    "sample": "sample",
}
_SHARED = "Compare the questions that both hold: mmdbench compare RUN OTHER --shared"
_READ_BY = "answer extraction"
_PROMPTS = "judge prompts"
SERVED = "served model"
"""The field of a difference between the names that servers gave to their models."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which two runs differ; `blocks` is True if they may not be compared because of it.

    `id` is the setting of a field that must be equal.
    """

    field: str
    first: str
    second: str
    blocks: bool
    id: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.first} / {self.second}"


class _BenchRecord(TypedDict, total=False):
    family: str
    sha256: str


class _Served(TypedDict, total=False):
    models: dict[str, int]
    system_fingerprints: dict[str, int]


_JudgePrompts = TypedDict("_JudgePrompts", {"judge prompts": dict[str, str]}, total=False)


class IdentityRecord(_JudgePrompts, total=False):
    """The fields of an identity that must have a shape; those of early versions are fewer."""

    benches: dict[str, _BenchRecord]
    versions: dict[str, str | None]
    released: dict[str, str]
    served: _Served
    levels: list[str]
    repeat: int


def identity(run: RunResults) -> dict[str, Any]:
    """The JSON-able record of a run's settings, for comparing it with another run."""
    plan = run.plan
    judges = sorted({j for arm in run.arms if (j := arm.score.judge)})
    spec = run.manifest.get("spec", {})
    record: dict[str, Any] = {
        "protocol": plan.protocol,
        "extraction": plan.extraction,
        "design": plan.design,
        "corruptions": list(plan.corruptions),
        "seed": plan.seed,
        "profile": plan.profile,
        "codec": plan.codec,
        "spec": f"{spec.get('set', '')} {spec.get('version', '')} {str(spec.get('digest', ''))[:12]}".strip(),
        "judge": ", ".join(judges),
        "sample": plan.sample,
        "levels": list(plan.levels),
        "model": run.model,
        "fingerprint": _public(run.manifest.get("model", {}).get("fingerprint", {})),
        "generation": dict(run.manifest.get("model", {}).get("generation", {})),
        "benches": {b["name"]: _bench_record(b) for b in run.manifest.get("benches", ())},
        "versions": {
            **run.manifest.get("versions", {}),
            _READ_BY: extraction_version(plan.extraction),
        },
        "restoration": run.manifest.get("restoration"),
        "own prompts": run.manifest.get("prompt_override") or None,
        "released": {
            " ".join(part for part in (r["bench"], r["level"], r["corruption"]) if part): r["sha256"]
            for r in run.manifest.get("released", ())
        },
    }
    if plan.repeat > 1:
        record["repeat"] = plan.repeat
    served = served_models(run)
    if served:
        record["served"] = served
    if judges:
        record[_PROMPTS] = _judge_prompts(run)
    # Baselines that were written before there were tasks hold none.
    return record if plan.task == ANSWER else {**record, "task": plan.task}


def _public(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """A model's fingerprint without a private address in it."""
    server = fingerprint.get("endpoint")
    return dict(fingerprint) | ({"endpoint": public_address(str(server))} if server else {})


def _bench_record(bench: Mapping[str, Any]) -> dict[str, str]:
    family = stored_family(bench["name"], bench.get("family", ""))
    return {"family": family, "sha256": bench.get("sha256", "")}


def _judge_prompts(run: RunResults) -> dict[str, str]:
    """The prompts of the run's judge by the kind of rows that they judge: id and SHA-256."""
    records = [prompt for arm in run.arms for prompt in arm.score.judge_record.get("prompts", ())]
    found = {prompt_kind(prompt["id"]): f"{prompt['id']} {prompt['sha256'][:12]}" for prompt in records}
    return dict(sorted(found.items()))


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Every field in which two identities differ, those that block a comparison first."""
    found: list[Difference | None] = []
    found += [
        _differ(name, first.get(key), second.get(key), blocks=True, setting=key)
        for key, name in _MUST.items()
    ]
    found += _prompt_differences(first, second)
    ours, theirs = first.get("benches", {}), second.get("benches", {})
    for bench in ours:
        if bench in theirs:
            for key, name in (("sha256", "data digest"), ("family", "family")):
                name_of = f"{name} of {bench}"
                found.append(_differ(name_of, ours[bench].get(key), theirs[bench].get(key), blocks=True))
    files, others = first.get("released", {}), second.get("released", {})
    found += [
        _differ(f"released file of {name}", files[name], others[name], blocks=True)
        for name in files
        if name in others
    ]
    found.append(_differ("benchmarks", list(ours), list(theirs), blocks=False))
    found += _served_differences(first, second)
    found.append(_differ("repeats", first.get("repeat", 1), second.get("repeat", 1), blocks=False))
    plain = ("levels", "model", "fingerprint", "generation", "restoration", "own prompts")
    for key in plain:
        found += _part_differences(key, first.get(key), second.get(key))
    # A record that is older than the versions of extractions was made by the first.
    old, new = (
        {_READ_BY: f"{side.get('extraction')}/1", **side.get("versions", {})} for side in (first, second)
    )
    names = dict.fromkeys((*old, *new))
    found += [_differ(f"version of {name}", old.get(name), new.get(name), blocks=False) for name in names]
    return [difference for difference in found if difference is not None]


def _part_differences(key: str, first: Any, second: Any) -> list[Difference | None]:
    """The difference in a setting or in each of its parts; a model's name is a setting itself."""
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        # A part that is not set is not recorded by every adapter.
        alike = first in (None, "") and second in (None, "")
        return [] if alike else [_differ(key, first, second, blocks=False)]
    found = []
    for part in dict.fromkeys((*first, *second)):
        if (key, part) != ("fingerprint", "name"):
            found += _part_differences(f"{key}.{part}", first.get(part), second.get(part))
    return found


def _served_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference | None]:
    """Differences in the names that servers gave to their models, and in system fingerprints."""
    found = []
    for key, name in (("models", SERVED), ("system_fingerprints", "system fingerprints")):
        ours, theirs = (sorted(side.get("served", {}).get(key, ())) for side in (first, second))
        if ours and theirs and not (key == "models" and is_one_model([*ours, *theirs])):
            found.append(_differ(name, ours, theirs, blocks=False, setting=key))
        elif bool(ours) != bool(theirs):  # a server that names no model, or a record that is older than this
            known = [side or "not recorded" for side in (ours, theirs)]
            found.append(_differ(name, *known, blocks=False))
    return found


def _prompt_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference | None]:
    """Differences in a judge's prompts: another prompt is another grade."""
    ours, theirs = first.get(_PROMPTS), second.get(_PROMPTS)
    if ours is None or theirs is None:  # not judged, or a record that is older than this field
        judged = first.get("judge") and first.get("judge") == second.get("judge")
        known = ["not recorded" if side is None else side for side in (ours, theirs)]
        return [_differ("judge's prompts", *known, blocks=False)] if judged else []
    # A kind of rows of which none was left to the judge in one run has no prompt there.
    return [
        _differ(f"the judge's prompt ({kind})", ours[kind], theirs[kind], blocks=True, setting=_PROMPTS)
        for kind in ours
        if kind in theirs
    ]


def require_comparable(
    first: Mapping[str, Any], second: Mapping[str, Any], *, shared: bool = False, sample_hint: str = _SHARED
) -> list[Difference]:
    """All differences of two identities, none of which blocks a comparison.

    Args:
        first: The identity of a run.
        second: The identity of another.
        shared: Allow different samples, because only the questions that both hold are compared.
        sample_hint: What to do about different samples.

    Returns:
        The differences.

    Raises:
        IncomparableError: A difference blocks the comparison.
    """
    found = differences(first, second)
    for difference in found:
        if difference.blocks and not (shared and difference.id == "sample"):
            hint = "Run both the same way."
            if difference.id == "sample":
                hint = sample_hint
            elif difference.id in ("protocol", "extraction"):
                hint = "Grade both alike: --protocol, --extraction."
            elif difference.id == _PROMPTS:
                hint = "Choose the wording (--judge NAME#PROMPT), or ask in the same: --judge-heads."
            raise IncomparableError(
                f"The runs cannot be compared: they differ in {difference.field} "
                f"({difference.first} against {difference.second}).",
                hint=hint,
            )
    return found


def _differ(field: str, first: Any, second: Any, *, blocks: bool, setting: str = "") -> Difference | None:
    return None if first == second else Difference(field, _say(first), _say(second), blocks, setting)


def _say(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={v}" for k, v in value.items()) or "none"
    return str(value) if value not in (None, "") else "none"
