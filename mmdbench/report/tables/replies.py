"""Tables of replies beside their scores: statuses, stages, restorations, time, tokens and cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from mmdbench.models.prices import Price
from mmdbench.models.tokens import token_count
from mmdbench.records import LEVEL_ORDER, Cell, Reply, in_order
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.graded_run import RunResults
from mmdbench.run.reply_records import restored_seconds
from mmdbench.stats import CALIBRATION_BINS, calibration_error, proportion
from mmdbench.system.shapes import is_number

__all__ = [
    "capability_table",
    "confidence_table",
    "cost_table",
    "phase_table",
    "stage_table",
    "status_table",
    "time_table",
    "tokens_read",
    "tokens_written",
    "trigger_table",
    "usd_of",
]

_STATUSES = ("ok", "refused", "empty", "truncated", "error", "missing")
_ALL = "all"


def status_table(runs: Sequence[RunResults]) -> Table:
    """Numbers of planned cells by level and status."""
    body = []
    for run in runs:
        planned = Counter(cell.level for cell in run.cells)
        counts = Counter[tuple[str, str]]((cell.level, reply.status) for cell, reply in run.replies.items())
        for level in in_order(planned):
            found = [counts[level, status] for status in _STATUSES[:-1]]
            numbers = (planned[level], *found, planned[level] - sum(found))
            body.append(Row((run.name, level), tuple(map(Value, numbers))))
    columns = (Column("planned", "count", 0), *(Column(status, "count", 0) for status in _STATUSES))
    caption = "Every planned cell is in the denominator of its score, answered or not."
    return Table("statuses", "Replies", ("Model", "Level"), columns, tuple(body), caption, model_at=0)


def stage_table(runs: Sequence[RunResults]) -> Table:
    """Shares of rows that each rule or judge read the answer of, and of rows that none could read."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for run in runs:
        for arm in sorted(run.arms, key=lambda arm: LEVEL_ORDER.index(arm.level)):
            found = counts.setdefault((run.name, arm.level), Counter())
            grades = getattr(arm.score, "grades", ())
            found.update(grade.stage for grade in grades)
            found["unresolved"] += sum(grade.verdict == "unresolved" for grade in grades)
            found["truncated"] += getattr(arm.score, "counts", {}).get("truncated", 0)
            found[_ALL] += len(grades)
    ends = ("unresolved", "truncated")
    stages = sorted({stage for found in counts.values() for stage in found} - {_ALL, *ends})
    body = [
        Row((run, level), tuple(Value(100 * found[s] / found[_ALL]) for s in (*stages, *ends)))
        for (run, level), found in counts.items()
        if found[_ALL]
    ]
    columns = tuple(Column(stage, "%") for stage in (*stages, *ends))
    caption = "A model that rambles on hard images must not look fragile because of how it is read."
    return Table(
        "stages", "How answers were read", ("Model", "Level"), columns, tuple(body), caption, model_at=0
    )


def confidence_table(runs: Sequence[RunResults]) -> Table:
    """Mean probability of the answer's letter and expected calibration error, by level.

    Only answers count whose letter and probability the server gave, and whose letter is the graded one.
    """
    body = []
    for run in runs:
        told = {cell: r.details for cell, r in run.detailed.items() if "answer_probability" in r.details}
        grades = run.grades if told else {}
        found: dict[str, list[tuple[float, float]]] = {}
        for cell, details in told.items():
            grade, probability = grades.get(cell), details["answer_probability"]
            letter = details.get("answer_letter")
            if grade and is_number(probability) and letter is not None and grade.label == letter:
                found.setdefault(cell.level, []).append((float(probability), grade.hit))
        for level in in_order(found):
            sure, hits = zip(*found[level], strict=True)
            means = [100 * math.fsum(values) / len(values) for values in (sure, hits)]
            error = calibration_error(sure, hits) or 0.0
            values = (Value(len(sure)), *(Value(mean, n=len(sure)) for mean in means), Value(100 * error))
            body.append(Row((run.name, level), values))
    columns = (Column("answers", "count", 0), Column("confidence", "%"), Column("right", "%"), Column("ECE"))
    caption = (
        "Confidence is the probability that the server gives to the answer's letter. ECE is the expected "
        f"calibration error over {CALIBRATION_BINS} bins of equal width (Guo et al. 2017, equation 3). Only "
        "answers with such a probability count."
    )
    return Table("confidence", "Confidence", ("Model", "Level"), columns, tuple(body), caption, model_at=0)


def trigger_table(runs: Sequence[RunResults]) -> Table:
    """Share of replies for which the model restored the image first, as in the paper's figure 5."""

    def restored(reply: Reply) -> float | None:
        count = reply.details.get("restorations")
        return float(count > 0) if is_number(count) else None

    def rate(known: Sequence[float]) -> Value | None:
        estimate = proportion(known)
        return value_of(estimate.scaled(100)) if estimate else None

    caption = "In percent of the replies that say how often the image was restored."
    return _by_level(runs, ("trigger", "Restorations asked for", caption), Column("", "%"), restored, rate)


def time_table(runs: Sequence[RunResults]) -> Table:
    """Minutes spent in the model and in restoring before it, as in the paper's table 11."""

    def seconds(reply: Reply) -> float:
        return reply.seconds + (_restoring(reply) or 0.0)

    def minutes(known: Sequence[float]) -> Value | None:
        total = math.fsum(known)
        return Value(total / 60, n=len(known)) if total else None

    restored = any(_restoring(r) is not None for run in runs for r in run.detailed.values())
    caption = (
        f"Minutes inside the model{' and in restoring pictures before it' if restored else ''}, "
        "summed over replies; requests that went side by side count one by one."
    )
    return _by_level(runs, ("time", "Time", caption), Column("", "min", 2), seconds, minutes, total="Total")


def phase_table(runs: Sequence[RunResults]) -> Table:
    """Mean seconds of a reply in each phase, by level, where the adapter measures phases.

    Restoring pictures before the model sees them is a phase too. Without phases of the adapter, the
    model's whole time is one.
    """
    body = []
    names: dict[str, None] = {}
    for run in runs:
        for level, replies in _levels(run.detailed):
            parts = [phases for r in replies if (phases := _phases(r))]
            names.update(dict.fromkeys(name for part in parts for name in part))
            if parts:
                means = {name: math.fsum(p.get(name, 0.0) for p in parts) / len(parts) for name in names}
                body.append((run.name, level, means))
    rows = tuple(
        Row((run, level), tuple(Value(means[n]) if n in means else None for n in names))
        for run, level, means in body
    )
    columns = tuple(Column(name, "s", 3) for name in names)
    return Table("phases", "Seconds of a reply", ("Model", "Level"), columns, rows, "Means.", model_at=0)


def cost_table(runs: Sequence[RunResults]) -> Table:
    """Tokens and US dollars by run and level, over the replies that name their tokens."""
    body = []
    for run in runs:
        price = run.manifest.get("model", {}).get("price")
        asked = Counter(cell.level for cell in run.replies)
        for level, replies in _levels(run.detailed):
            counted = [reply for reply in replies if reply.details.get("usage")]
            readers = (tokens_read, tokens_written, partial(usd_of, price=price))
            sums = [_sum(counted, read) for read in readers]
            if any(value is not None for value in sums):
                body.append(Row((run.name, level), (Value(asked[level]), *sums)))
    columns = (
        Column("replies", "count", 0),
        Column("input tokens", "count", 0),
        Column("output tokens", "count", 0),
        Column("US dollars", "USD", 4),
    )
    caption = "Sums over the replies that name their tokens, at the price of the model card; each reply once."
    return Table("cost", "Tokens and cost", ("Model", "Level"), columns, tuple(body), caption, model_at=0)


def capability_table(runs: Sequence[RunResults]) -> Table:
    """Scores of MM-Vet's capabilities by level; a question counts once in each capability it needs."""
    found: dict[tuple[str, str], list[Mapping[str, float | None]]] = {}
    for run in runs:
        for arm in sorted(run.arms, key=lambda arm: LEVEL_ORDER.index(arm.level)):
            capabilities = getattr(arm.score, "metrics", {}).get("capabilities_fixed")
            if capabilities:
                found.setdefault((run.name, arm.level), []).append(capabilities)
    names = list(dict.fromkeys(name for arms in found.values() for arm in arms for name in arm))
    body = []
    for labels, arms in found.items():
        known = [[value for arm in arms if (value := arm.get(name)) is not None] for name in names]
        body.append(Row(labels, tuple(Value(math.fsum(v) / len(v)) if v else None for v in known)))
    columns = tuple(Column(name) for name in names)
    return Table("capabilities", "MM-Vet capabilities", ("Model", "Level"), columns, tuple(body), model_at=0)


def _by_level(
    runs: Sequence[RunResults],
    about: tuple[str, str, str],
    column: Column,
    read: Callable[[Reply], float | None],
    sum_up: Callable[[Sequence[float]], Value | None],
    *,
    total: str = "all",
) -> Table:
    levels = in_order({cell.level for run in runs for cell in run.cells})
    body = []
    for run in runs:
        found: dict[tuple[str, str], list[float]] = {}
        for cell, reply in run.replies.items():
            value = read(reply)
            if value is not None:
                found.setdefault((cell.bench, cell.level), []).append(value)
        order = {bench: place for place, bench in enumerate(run.benches)}
        benches = sorted({bench for bench, _ in found}, key=lambda bench: order.get(bench, 0))
        for bench in (*benches, ""):
            values = tuple(
                sum_up([v for name in ([bench] if bench else benches) for v in found.get((name, level), ())])
                for level in levels
            )
            if any(values):
                name = run.title(bench) if bench else total
                body.append(Row((run.name, name), values, not bench, run.name))
    columns = tuple(Column(level, column.unit, column.digits) for level in levels)
    key, title, caption = about
    return Table(key, title, ("Model", "Benchmark"), columns, tuple(body), caption, model_at=0)


def _restoring(reply: Reply) -> float | None:
    seconds = restored_seconds(reply.images)
    return math.fsum(seconds) if seconds else None


def _phases(reply: Reply) -> dict[str, float]:
    own = reply.details.get("seconds")
    known = own.items() if isinstance(own, Mapping) else ()
    phases = {name: value for name, value in known if is_number(value)}
    before = _restoring(reply)
    if before is None:
        return phases
    return {"restoration": before, **(phases or {"model": reply.seconds})}


def _levels(replies: Mapping[Cell, Reply]) -> Iterator[tuple[str, list[Reply]]]:
    found: dict[str, list[Reply]] = {}
    for cell, reply in replies.items():
        found.setdefault(cell.level, []).append(reply)
    yield from ((level, found[level]) for level in in_order(found))


def _sum(replies: Sequence[Reply], read: Callable[[Reply], float | None]) -> Value | None:
    known = [value for reply in replies if (value := read(reply)) is not None]
    return Value(math.fsum(known), n=len(known)) if known else None


def tokens_read(reply: Reply) -> float | None:
    """The number of tokens that a model read for a reply, None if its adapter does not count them."""
    return _usage(reply, "prompt", "input_tokens", "prompt_tokens")


def tokens_written(reply: Reply) -> float | None:
    """The number of tokens that a model wrote for a reply, None if its adapter does not count them."""
    return _usage(reply, "completion", "output_tokens", "completion_tokens")


def usd_of(reply: Reply, price: Mapping[str, Any] | None) -> float | None:
    """The cost of a reply in US dollars at the price in a manifest, None if one of them is unknown."""
    if price is None:
        return None
    read, written = tokens_read(reply), tokens_written(reply)
    if read is None or written is None:
        return None
    live = Price(**price)
    paid = live.in_batch() if "batch" in reply.details else live
    return paid.usd(int(read), int(written), int(_usage(reply, "cached") or 0))


def _usage(reply: Reply, *names: str) -> float | None:
    usage = reply.details.get("usage")
    if not isinstance(usage, Mapping):
        return None
    for name in names:
        count = token_count(usage.get(name))
        if count is not None:
            return float(count)
    return None
