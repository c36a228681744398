"""Tables by split and category: flat, as VLMEvalKit prints them, and nested, as we do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmdbench.records import Index
from mmdbench.scoring.sheet import SheetRow

__all__ = ["flat_table", "mean", "nested_table", "percent"]

_ABBREVIATIONS = {
    "coarse_perception": "CP",
    "finegrained_perception (instance-level)": "FP-S",
    "finegrained_perception (cross-instance)": "FP-C",
    "logic_reasoning": "LR",
    "relation_reasoning": "RR",
    "attribute_reasoning": "AR",
}
_GROUPINGS = ("l2-category", "category")


def mean(values: Iterable[float]) -> float | None:
    """The arithmetic mean; None if there are no values."""
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else None


def percent(share: float | None) -> float | None:
    """A share 0..1 as 0..100."""
    return None if share is None else 100 * share


def flat_table(
    rows: Sequence[SheetRow], hits: Mapping[Index, float], columns: frozenset[str]
) -> list[dict[str, Any]]:
    """Accuracy as VLMEvalKit tabulates it: overall, and by l2-category and category under short names.

    A category of the same name as an l2-category takes its place; a group without rows in a split
    is None; rows without a split are in no record.

    Args:
        rows: The rows that count.
        hits: A hit in 0..1 for each row, by index.
        columns: The columns of the benchmark.

    Returns:
        One record for each split (one in all if there is no such column), in 0..1.
    """
    table = []
    splits: Mapping[str, Sequence[SheetRow]] = _groups(rows, "split") if "split" in columns else {"": rows}
    for split, inside in splits.items():
        overall = mean(hits[row.index] for row in inside)
        record: dict[str, Any] = {"split": split or "none", "Overall": overall}
        for grouping in _GROUPINGS:
            members = _groups(inside, grouping)
            for group in _groups(rows, grouping):
                hits_of = (hits[row.index] for row in members.get(group, ()))
                record[_ABBREVIATIONS.get(group, group)] = mean(hits_of)
        table.append(record)
    return table


def nested_table(rows: Sequence[SheetRow], hits: Mapping[Index, float]) -> dict[str, Any]:
    """Accuracy (0..100) and n of all rows and of each split: in all, by l2-category and by category."""
    splits = _groups(rows, "split").items()
    return {"all": _block(rows, hits), "split": {name: _block(part, hits) for name, part in splits}}


def _block(rows: Sequence[SheetRow], hits: Mapping[Index, float]) -> dict[str, Any]:
    block: dict[str, Any] = _cell(rows, hits)
    for grouping in _GROUPINGS:
        block[grouping] = {name: _cell(part, hits) for name, part in _groups(rows, grouping).items()}
    return block


def _cell(rows: Sequence[SheetRow], hits: Mapping[Index, float]) -> dict[str, Any]:
    return {"n": len(rows), "accuracy": percent(mean(hits[row.index] for row in rows))}


def _groups(rows: Sequence[SheetRow], column: str) -> dict[str, list[SheetRow]]:
    """The rows by their value in a column, in the order of the values; not those without one."""
    found: dict[str, list[SheetRow]] = {}
    for row in rows:
        if column in row.cells:
            found.setdefault(row.cells[column], []).append(row)
    return dict(sorted(found.items()))
