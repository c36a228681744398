"""Tables of perception runs: by level, by corruption, of chains, and false alarms on clean pictures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmdbench.corruptions.spec import Spec
from mmdbench.records import CLEAN, RECODED, Cell, Grade, Reply, chain_steps
from mmdbench.report.tables.replies import tokens_written
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.graded_run import RunResults
from mmdbench.stats import CONFIDENCE, Estimate, proportion
from mmdbench.stats.estimates import normal_quantile

__all__ = ["clustered_mean", "perception_tables"]

_COLUMNS = (
    Column("n", "count", 0),
    Column("type", best="max"),
    Column("category", best="max"),
    Column("intensity error", "0..1", 3, best="min"),
    Column("of", "count", 0),
    Column("r_deg", "reward", 2, best="max", signed=True),
    Column("r_deg (code)", "reward", 2, best="max", signed=True),
    Column("unreadable", "%", 1),
    Column("words", "mean", 1),
    Column("tokens", "mean", 1),
)
_CAPTION = (
    "Type and category named exactly, in points; mean distance of the strength from the recipe's where a "
    "right type has one; r_deg of Robust-R1: equation 6 over all pairs, and as its code computes it, where a "
    "reply that claims nothing gets 0 and −1 for each true type. Mean length of the replies, in words, and "
    "in tokens where all of them count these. 95 % intervals; the picture is the cluster."
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One graded cell of a run, with its reply if there is one."""

    cell: Cell
    grade: Grade
    reply: Reply | None

    @property
    def cluster(self) -> object:
        """The unit that counts as independent: the clean picture, or the question if no reply names it."""
        return self.grade.details.get("picture") or (self.cell.bench, self.cell.index)


def perception_tables(runs: Sequence[RunResults], levels: Sequence[str], spec: Spec) -> list[Table]:
    """The tables of perception runs side by side.

    Args:
        runs: Graded runs of the task `perceive`.
        levels: The levels of all runs.
        spec: The corruptions and their categories.

    Returns:
        The tables by level, by corruption, of chains and of false alarms, those of them that have rows.
    """
    seen = {
        run.name: [_Seen(cell, grade, run.replies.get(cell)) for cell, grade in run.grades.items()]
        for run in runs
    }
    chains = [name for run in runs for name in run.plan.corruptions if name not in spec.corruptions]
    by_corruption = _corruption_table(seen, spec, chains)
    optional = (by_corruption, _chain_table(seen, spec), _alarm_table(seen, levels))
    return [_level_table(seen, levels), *(table for table in optional if table.rows)]


def clustered_mean(values: Sequence[float], clusters: Sequence[object]) -> Estimate | None:
    """The mean of values of any range, with a normal interval that takes clusters as independent.

    The variance follows from the squared totals of the clusters' residuals, as if there were one more
    cluster of variance 1, so that a few equal values do not give an interval of width 0. None without
    values.
    """
    n = len(values)
    if not n:
        return None
    mean = math.fsum(values) / n
    totals = _totals([value - mean for value in values], clusters)
    k = len(totals)
    spread = math.fsum(t * t for t in totals) * (k / n) ** 2 / (k - 1) if k > 1 else 0.0
    variance = (k * spread + 1) / (k + 1) / k
    half = normal_quantile(CONFIDENCE) * math.sqrt(variance)
    return Estimate(mean, mean - half, mean + half, n, mean, variance)


def _share(values: Sequence[float], clusters: Sequence[object]) -> Estimate | None:
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    return proportion(values, residuals=_totals([value - mean for value in values], clusters))


def _totals(residuals: Iterable[float], clusters: Sequence[object]) -> list[float]:
    totals: dict[object, float] = {}
    for cluster, residual in zip(clusters, residuals, strict=True):
        totals[cluster] = totals.get(cluster, 0.0) + residual
    return list(totals.values())


def _values(seen: Sequence[_Seen]) -> tuple[Value | None, ...]:
    clusters = [one.cluster for one in seen]
    details = [one.grade.details for one in seen]
    graded = [i for i, d in enumerate(details) if d["intensity_error"] is not None]
    errors = [details[i]["intensity_error"] for i in graded]
    types = _share([one.grade.hit for one in seen], clusters)
    categories = _share([d["category"] for d in details], clusters)
    unread = sum(one.grade.stage == "unreadable" for one in seen)
    return (
        Value(len(seen)),
        value_of(types.scaled(100)) if types else None,
        value_of(categories.scaled(100)) if categories else None,
        value_of(_share(errors, [clusters[i] for i in graded])),
        Value(len(errors)),
        value_of(clustered_mean([d["r_deg"] for d in details], clusters)),
        value_of(clustered_mean([d["r_deg_code"] for d in details], clusters)),
        Value(100 * unread / len(seen)),
        *_lengths(seen),
    )


def _lengths(seen: Sequence[_Seen]) -> tuple[Value | None, Value | None]:
    """The mean length of the replies with a text, in words, and in tokens if each of them counts these."""
    replies = [one.reply for one in seen if one.reply is not None and one.reply.text]
    if not replies:
        return None, None
    n = len(replies)
    tokens = [tokens for reply in replies if (tokens := tokens_written(reply)) is not None]
    words = math.fsum(len(reply.text.split()) for reply in replies)
    return Value(words / n, n=n), Value(math.fsum(tokens) / n, n=n) if len(tokens) == n else None


def _level_table(runs: Mapping[str, Sequence[_Seen]], levels: Sequence[str]) -> Table:
    several = len(runs) > 1
    body = []
    for level in (*levels, "degraded"):
        for name, seen in runs.items():
            here = [s for s in seen if level == s.cell.level or (level == "degraded" and s.cell.corruption)]
            if here:
                labels = (level, name) if several else (level,)
                body.append(Row(labels, _values(here), level == "degraded", level if several else ""))
    labels = ("Level", "Model") if several else ("Level",)
    return Table(
        "perception",
        "Degradation perception by level",
        labels,
        _COLUMNS,
        tuple(body),
        _CAPTION,
        model_at=1 if several else None,
    )


def _corruption_table(runs: Mapping[str, Sequence[_Seen]], spec: Spec, chains: Iterable[str]) -> Table:
    several = len(runs) > 1
    body = []
    sections = {name: corruption.category for name, corruption in spec.corruptions.items()}
    for name, section in (sections | dict.fromkeys(chains, "chain")).items():
        for run, seen in runs.items():
            here = [s for s in seen if s.cell.corruption == name]
            if here:
                labels = (name, run) if several else (name,)
                values = (*_values(here), Value(_taken_for(here)))
                body.append(Row(labels, values, section=section))
    labels = ("Corruption", "Model") if several else ("Corruption",)
    columns = (*_COLUMNS, Column("most often taken for", "text"))
    caption = f"All degraded levels together. {_CAPTION}"
    title = "Degradation perception by corruption"
    return Table(
        "perception-corruptions",
        title,
        labels,
        columns,
        tuple(body),
        caption,
        model_at=1 if several else None,
    )


def _chain_table(runs: Mapping[str, Sequence[_Seen]], spec: Spec) -> Table:
    """The corruptions of pictures that show several, and how often each is named."""
    several = len(runs) > 1
    chained = {
        run: [s for s in seen if len(chain_steps(s.cell.corruption)) > 1] for run, seen in runs.items()
    }
    body = []
    for name, corruption in spec.corruptions.items():
        for run, seen in chained.items():
            here = [s for s in seen if name in chain_steps(s.cell.corruption)]
            if here:
                labels = (name, run) if several else (name,)
                body.append(Row(labels, _named(name, here), section=corruption.category))
    columns = (
        Column("n", "count", 0),
        Column("named", best="max"),
        Column("intensity error", "0..1", 3, best="min"),
        Column("of", "count", 0),
    )
    caption = (
        "Pictures whose chain has the corruption, at all degraded levels (n); those whose reply names it, in "
        "points; mean distance of its strength from the recipe's where it has one. 95 % intervals; the "
        "picture is the cluster."
    )
    labels = ("Corruption", "Model") if several else ("Corruption",)
    title = "Corruptions of chains"
    return Table(
        "perception-chains", title, labels, columns, tuple(body), caption, model_at=1 if several else None
    )


def _named(name: str, seen: Sequence[_Seen]) -> tuple[Value | None, ...]:
    clusters = [one.cluster for one in seen]
    said = [dict(reversed(one.grade.details["said"])) for one in seen]  # the first of two strengths
    share = _share([float(name in claims) for claims in said], clusters)
    errors = {
        i: abs(claims[name] - seen[i].grade.details["truth"][name])
        for i, claims in enumerate(said)
        if claims.get(name) is not None
    }
    return (
        Value(len(seen)),
        value_of(share.scaled(100)) if share else None,
        value_of(_share(list(errors.values()), [clusters[i] for i in errors])),
        Value(len(errors)),
    )


def _alarm_table(runs: Mapping[str, Sequence[_Seen]], levels: Sequence[str]) -> Table:
    body = []
    for name, seen in runs.items():
        for level in (lv for lv in (CLEAN, RECODED) if lv in levels):
            here = [s for s in seen if s.cell.level == level]
            read = [s for s in here if s.grade.verdict != "unresolved"]
            alarms = [float(bool(s.grade.details["said"])) for s in read]
            share = _share(alarms, [s.cluster for s in read])
            if here:
                points = value_of(share.scaled(100)) if share else None
                body.append(Row((name, level), (Value(len(read)), points, Value(_taken_for(read)))))
    columns = (
        Column("n", "count", 0),
        Column("false alarms", best="min"),
        Column("most often taken for", "text"),
    )
    caption = (
        "Untouched pictures in which a degradation is claimed, of those with a reply that could be read (n), "
        "in points with 95 % intervals."
    )
    labels = ("Model", "Level")
    return Table("false-alarms", "False alarms", labels, columns, tuple(body), caption, model_at=0)


def _taken_for(seen: Sequence[_Seen]) -> str:
    wrong = Counter(s.grade.label for s in seen if s.grade.verdict == "wrong" and s.grade.label)
    return ", ".join(f"{label} {count}" for label, count in wrong.most_common(2)) or "–"
