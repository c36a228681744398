"""Plan before spend: what a run will ask, take and cost, and how sharp its result will be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import StoreError
from mmdbench.models.cards import ModelCard
from mmdbench.models.registry import AsyncModel, Model, is_async
from mmdbench.models.tokens import TYPICAL_OUTPUT, request_tokens
from mmdbench.records import CLEAN, RunPlan
from mmdbench.run.manifest import read_manifest
from mmdbench.run.plan import OWN_PICTURES, Pictures, Planned, plan_requests
from mmdbench.run.store import read_index, read_records, shard_paths
from mmdbench.scoring.families import unit_of
from mmdbench.stats import half_width, macro_half_width
from mmdbench.system.environment import portable
from mmdbench.system.files import MANIFEST_FILE, make_folder

__all__ = ["Earlier", "Forecast", "earlier_replies", "forecast"]

_FLIPS = 0.10
_LOOKED_AT = 2000


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier replies of a model cost: means over `count` of them; `per_second` of whole runs."""

    count: int = 0
    read: float | None = None
    written: float | None = None
    seconds: float | None = None
    per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would do.

    `requests` are planned, `answered` of them already are; tokens, `usd` and `seconds` are for the
    rest, None where nothing is known. `score` and `drop` are 95 % half-widths in points: of a score
    that is about a half, and of a drop when one answer in ten flips, both of the mean over benchmarks.
    """

    requests: int
    answered: int
    images: int
    questions: Mapping[str, int]
    tokens_read: int
    tokens_written: int
    usd: float | None
    seconds: float | None
    score: float
    drop: float | None
    basis: str

    @property
    def to_ask(self) -> int:
        """Requests that would be sent."""
        return self.requests - self.answered


def forecast(
    plan: RunPlan,
    benches: Sequence[Bench],
    model: Model | AsyncModel,
    card: ModelCard,
    folder: Path,
    *,
    retry_errors: bool = True,
    pictures: Pictures = OWN_PICTURES,
) -> Forecast:
    """What running this plan in this folder would do; the model is not asked.

    The folder is made, and keeps what planning learned about the images, nothing else.
    """
    planned = plan_requests(plan, benches, model, card, load_spec(), make_folder(folder), pictures)
    unique = {p.key: p for p in planned}
    stored = read_index(folder)
    done = {k for k in unique if k in stored and (stored[k] != "error" or not retry_errors)}
    todo = [p for key, p in unique.items() if key not in done]
    earlier = earlier_replies(folder, model.fingerprint())
    read, written = _tokens(todo, card, earlier)
    units = _units(planned, benches)
    return Forecast(
        requests=len(unique),
        answered=len(done),
        images=sum(len(p.recipes) for p in todo),
        questions=units,
        tokens_read=read,
        tokens_written=written,
        usd=card.price.usd(read, written) if card.price else None,
        seconds=_seconds(len(todo), model, earlier),
        score=100 * _score_half_width(list(units.values())),
        drop=100 * macro_half_width(list(units.values()), _FLIPS) if _has_drop(plan) else None,
        basis=_basis(earlier),
    )


def earlier_replies(folder: Path, fingerprint: Mapping[str, Any]) -> Earlier:
    """What replies of this model cost so far, in this run and in the runs beside it."""
    wanted = portable(dict(fingerprint))
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    rates: list[float] = []
    for run in [folder, *sorted(p.parent for p in folder.parent.glob(f"*/{MANIFEST_FILE}"))]:
        manifest = _manifest(run)
        if manifest is None or (run == folder and counts["runs"]):
            continue
        counts["runs"] += run == folder
        if manifest.get("model", {}).get("fingerprint") != wanted:
            continue
        rates += [s["asked"] / s["seconds"] for s in manifest.get("sessions", []) if s["asked"] >= 20]
        for record in islice(_answers(run), _LOOKED_AT):
            counts["replies"] += 1
            sums["seconds"] += record.get("seconds", 0.0)
            usage = record.get("details", {}).get("usage") or {}
            if "prompt" in usage:
                counts["counted"] += 1
                sums["read"] += usage["prompt"]
                sums["written"] += usage.get("completion", 0)
    return _earlier(counts, sums, rates)


def _earlier(counts: Mapping[str, int], sums: Mapping[str, float], rates: Sequence[float]) -> Earlier:
    counted, replies = counts["counted"], counts["replies"]
    return Earlier(
        replies,
        sums["read"] / counted if counted else None,
        sums["written"] / counted if counted else None,
        sums["seconds"] / replies if replies else None,
        sum(rates) / len(rates) if rates else None,
    )


def _answers(run: Path) -> Iterator[dict[str, Any]]:
    for path in shard_paths(run):
        for record in read_records(path):
            if record.get("status") != "error":
                yield record


def _manifest(run: Path) -> dict[str, Any] | None:
    try:
        return read_manifest(run)
    except StoreError:
        return None


def _tokens(todo: Sequence[Planned], card: ModelCard, earlier: Earlier) -> tuple[int, int]:
    if earlier.read is not None and earlier.written is not None:
        return round(earlier.read * len(todo)), round(earlier.written * len(todo))
    each = min(_most_written(card), 10 * TYPICAL_OUTPUT) if _thinks(card) else TYPICAL_OUTPUT
    return sum(request_tokens(p.prompt, p.sizes, card) for p in todo), each * len(todo)


def _thinks(card: ModelCard) -> bool:
    effort = card.generation.get("reasoning_effort", "none")
    return bool(card.options.get("reasoning")) or effort != "none"


def _most_written(card: ModelCard) -> int:
    most = card.generation.get("max_completion_tokens", card.generation.get("max_tokens"))
    return 10 * TYPICAL_OUTPUT if most is None else int(most)


def _seconds(count: int, model: Model | AsyncModel, earlier: Earlier) -> float | None:
    if not count:
        return 0.0
    if earlier.per_second:
        return count / earlier.per_second
    if earlier.seconds is None:
        return None
    return count * earlier.seconds / (model.concurrency if is_async(model) else 1)


def _units(planned: Sequence[Planned], benches: Sequence[Bench]) -> dict[str, int]:
    families = {bench.name: bench.family for bench in benches}
    units = {(p.cell.bench, unit_of(p.question, families[p.cell.bench])) for p in planned}
    return dict(Counter(bench for bench, _ in sorted(units, key=str)))


def _score_half_width(sizes: Sequence[int]) -> float:
    # A score of a half has the variance of a difference when one answer in four flips: 0.25.
    return macro_half_width(sizes, 0.25) if len(sizes) > 1 else half_width(sizes[0], 0.25) if sizes else 0.0


def _has_drop(plan: RunPlan) -> bool:
    return CLEAN in plan.levels and len(plan.levels) > 1


def _basis(earlier: Earlier) -> str:
    if earlier.count:
        return f"from {earlier.count} earlier replies of this model"
    return "estimated from the sizes of texts and pictures; no earlier reply of this model is at hand"
