"""Forecast of a run before it starts: requests, tokens, cost, time and the width of its intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mmdbench.benches import Bench
from mmdbench.benches.catalog import is_degraded, is_outside
from mmdbench.errors import StoreError
from mmdbench.models.cards import ModelCard
from mmdbench.models.learning import recall_learnt
from mmdbench.models.parameters import is_reasoning
from mmdbench.models.registry import Fingerprinted, is_async
from mmdbench.models.tokens import TYPICAL_OUTPUT, checked_usage, request_tokens
from mmdbench.records import CLEAN, Reply
from mmdbench.run.canary import PROMPT, SIZE
from mmdbench.run.canary_share import canary_share
from mmdbench.run.generations import next_generation
from mmdbench.run.inputs import RunInputs
from mmdbench.run.json_lines import read_records
from mmdbench.run.manifest import RUN_KIND, find_manifest
from mmdbench.run.plan import Planned, plan_requests
from mmdbench.run.reply_records import read_reply
from mmdbench.run.store import read_index, shard_paths
from mmdbench.scoring.families import unit_of
from mmdbench.stats import half_width, macro_half_width
from mmdbench.system.digest import value_digest
from mmdbench.system.environment import portable
from mmdbench.system.files import MANIFEST_FILE, make_folder

__all__ = ["Forecast", "expected_tokens", "forecast"]

_FLIPS = 0.10
_LOOKED_AT = 2000


@dataclass(frozen=True, slots=True)
class _EarlierReplies:
    """Means over `count` earlier replies of a model; None where nothing is known.

    `read` and `written` are tokens, `seconds` the duration of a request; `per_second` is the rate of
    whole runs, in requests.
    """

    count: int
    read: float | None
    written: float | None
    seconds: float | None
    per_second: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The size and the cost of a run.

    `requests` are planned and `answered` of them have a reply; `canary` are sent besides, and their cost
    is part of `usd`; `images`, tokens, `usd` and `seconds`
    are for the rest, None where nothing is known. `questions` are counted by benchmark, in its units.
    `score` and `drop` are 95 % half-widths in points, of the mean over benchmarks: of a score of a half,
    and of a drop when one answer in ten flips, at the level with the fewest questions. `basis` says
    where the estimates come from, `price` is that of the tokens in words, empty if it is unknown.
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
    canary: int = 0
    price: str = ""

    @property
    def to_ask(self) -> int:
        """The number of requests that would be sent."""
        return self.requests - self.answered


def forecast(inputs: RunInputs) -> Forecast:
    """The forecast of a run; the model is not asked.

    The folder is made and keeps the digests of the images, nothing else.
    """
    make_folder(inputs.folder)
    recall_learnt(inputs.model, find_manifest(inputs.folder))
    planned = plan_requests(inputs)
    unique = {p.key: p for p in planned if p.problem is None}  # the others are never sent
    stored = read_index(inputs.folder, next_generation(find_manifest(inputs.folder), inputs.settings).since)
    retry_errors = inputs.settings.retry_errors
    done = {k for k in unique if k in stored and (stored[k] != "error" or not retry_errors)}
    todo = [p for key, p in unique.items() if key not in done]
    card, earlier = inputs.card, _earlier_replies(inputs.folder, inputs.model.fingerprint())
    read, written = _tokens(todo, card, earlier)
    canary = _canary(inputs, len(unique), len(todo))
    units = _units(planned, inputs.benches)
    counted = [name for name in units if not is_outside(name)] or list(units)
    plain = [name for name in counted if not is_degraded(name)]
    return Forecast(
        requests=len(unique),
        answered=len(done),
        images=sum(len(p.recipes) for p in todo),
        questions=units,
        tokens_read=read,
        tokens_written=written,
        usd=_usd(inputs, (read, written), canary),
        seconds=None if inputs.settings.batch and todo else _seconds(len(todo), inputs.model, earlier),
        score=100 * _score_half_width([units[name] for name in plain or counted]),
        drop=_drop_points(planned, inputs, plain),
        basis=f"from {earlier.count} earlier replies of this model"
        if earlier.count
        else "estimated from the sizes of texts and pictures; there is no earlier reply of this model",
        canary=canary,
        price=_price_text(inputs),
    )


def expected_tokens(todo: Sequence[Planned], inputs: RunInputs) -> tuple[int, int]:
    """Tokens, read and written, of planned requests: from earlier replies of the model, else from sizes."""
    return _tokens(todo, inputs.card, _earlier_replies(inputs.folder, inputs.model.fingerprint()))


def _price_text(inputs: RunInputs) -> str:
    price = inputs.card.price
    if price is None:
        return ""
    return f"{price.in_batch()} in batches" if inputs.settings.batch else str(price)


def _usd(inputs: RunInputs, tokens: tuple[int, int], canary: int) -> float | None:
    """The cost of tokens, read and written, and of the canary's requests, which no batch makes cheaper."""
    card = inputs.card
    if card.price is None:
        return None
    price = card.price.in_batch() if inputs.settings.batch else card.price
    probe_read = request_tokens(PROMPT, [SIZE], card)
    return price.usd(*tokens) + card.price.usd(canary * probe_read, canary * TYPICAL_OUTPUT)


def _canary(inputs: RunInputs, planned: int, to_ask: int) -> int:
    """The number of the canary's requests."""
    if not inputs.settings.canary or not is_async(inputs.model):
        return 0
    manifest, fingerprint = find_manifest(inputs.folder), value_digest(dict(inputs.model.fingerprint()))
    generation = next_generation(manifest, inputs.settings).number
    return canary_share(planned, to_ask, (manifest or {}).get("canary", {}), fingerprint, generation).total


def _earlier_replies(folder: Path, fingerprint: Mapping[str, Any]) -> _EarlierReplies:
    """Means over replies of this model in this run and in the runs beside it."""
    wanted = portable(dict(fingerprint))
    counts: Counter[str] = Counter()
    sums: defaultdict[str, float] = defaultdict(float)
    rates: list[float] = []
    beside = (path.parent for path in folder.parent.glob(f"*/{MANIFEST_FILE}"))
    for run in dict.fromkeys([folder, *sorted(beside)]):
        manifest = find_manifest(run) or {}
        if manifest.get("kind") != RUN_KIND or manifest.get("model", {}).get("fingerprint") != wanted:
            continue
        live = (s for s in manifest.get("sessions", []) if not s.get("batches"))
        rates += [s["asked"] / s["seconds"] for s in live if s.get("asked", 0) >= 20 and s.get("seconds")]
        for reply in _answers(run):
            counts["replies"] += 1
            if "batch" not in reply.details:
                counts["timed"] += 1
                sums["seconds"] += reply.seconds
            usage = checked_usage(reply.details).get("usage") or {}
            if "prompt" in usage:
                counts["counted"] += 1
                sums["read"] += usage["prompt"]
                sums["written"] += usage.get("completion", 0)
    replies, counted, timed = counts["replies"], counts["counted"], counts["timed"]
    return _EarlierReplies(
        replies,
        sums["read"] / counted if counted else None,
        sums["written"] / counted if counted else None,
        sums["seconds"] / timed if timed else None,
        sum(rates) / len(rates) if rates else None,
    )


def _answers(run: Path) -> list[Reply]:
    """The first answers in a run's folder; none if they are damaged: the reader of that run is told."""
    records = (record for path in shard_paths(run) for record in read_records(path))
    try:
        answers = (record for record in records if record.get("status") != "error")
        return [read_reply(record) for record in islice(answers, _LOOKED_AT)]
    except (StoreError, ValueError):
        return []


def _tokens(todo: Sequence[Planned], card: ModelCard, earlier: _EarlierReplies) -> tuple[int, int]:
    if earlier.read is not None and earlier.written is not None:
        return round(earlier.read * len(todo)), round(earlier.written * len(todo))
    each, settings = TYPICAL_OUTPUT, card.generation
    if is_reasoning(card.options) or settings.get("reasoning_effort", "none") != "none":
        most = settings.get("max_completion_tokens", settings.get("max_tokens"))
        each = 10 * TYPICAL_OUTPUT if most is None else min(int(most), 10 * TYPICAL_OUTPUT)
    return sum(request_tokens(p.prompt, p.sizes, card) for p in todo), each * len(todo)


def _seconds(count: int, model: Fingerprinted, earlier: _EarlierReplies) -> float | None:
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


def _drop_points(planned: Sequence[Planned], inputs: RunInputs, plain: Sequence[str]) -> float | None:
    """The half-width of the drop at the level that has the fewest questions; None without a drop."""
    if not plain or CLEAN not in inputs.plan.levels:
        return None
    widths = []
    for level in inputs.plan.levels:
        at = _units([p for p in planned if p.cell.level == level], inputs.benches)
        if level != CLEAN and all(name in at for name in plain):
            widths.append(macro_half_width([at[name] for name in plain], _FLIPS))
    return 100 * max(widths) if widths else None


def _score_half_width(sizes: Sequence[int]) -> float:
    # A score of a half has the variance of a difference when one answer in four flips: 0.25.
    return macro_half_width(sizes, 0.25) if len(sizes) > 1 else half_width(sizes[0], 0.25) if sizes else 0.0
