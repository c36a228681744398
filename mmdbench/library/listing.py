"""Names that options take, with their meanings."""

from __future__ import annotations

from typing import Any

from mmdbench.models.cards import known_cards

__all__ = ["known_cards", "named_rows"]


def named_rows(what: str) -> list[dict[str, Any]]:
    """Names of one kind with what they mean.

    Args:
        what: `designs`, `levels`, `tables`, `protocols`, `families`, `tasks`,
            `presets` or `published`.

    Returns:
        One dict for each name.
    """
    rows = {
        "designs": _designs,
        "levels": _levels,
        "tables": _tables,
        "protocols": _protocols,
        "families": _families,
        "tasks": _tasks,
        "presets": _presets,
        "published": _published,
    }
    return rows[what]()


def _designs() -> list[dict[str, Any]]:
    from mmdbench.variants.design import DESIGNS

    return [{"name": name, "meaning": meaning} for name, meaning in DESIGNS.items()]


def _levels() -> list[dict[str, Any]]:
    from mmdbench.corruptions.spec_file import load_spec
    from mmdbench.records import CLEAN, LEVELS, RECODED

    strengths = load_spec().intensities
    rows: list[dict[str, Any]] = [
        {"name": CLEAN, "intensity": 0, "meaning": "the benchmark's own picture"},
        {"name": RECODED, "intensity": 0, "meaning": "that picture encoded by --codec: the codec's own loss"},
    ]
    return rows + [
        {"name": name, "intensity": strengths[name], "meaning": "degraded by a corruption"} for name in LEVELS
    ]


def _tables() -> list[dict[str, Any]]:
    from mmdbench.report.tables.names import TABLES

    return [{"name": name, "shows": meaning} for name, meaning in TABLES.items()]


def _protocols() -> list[dict[str, Any]]:
    from mmdbench.scoring.protocols import MEANINGS

    return [{"name": name, "meaning": meaning} for name, meaning in MEANINGS.items()]


def _families() -> list[dict[str, Any]]:
    from mmdbench.scoring.families import FAMILIES

    return [
        {"name": name, "prompt": family.prompt_summary, "grader": family.grading_summary}
        for name, family in FAMILIES.items()
        if family.selectable
    ]


def _published() -> list[dict[str, Any]]:
    from mmdbench.report.published import published_names

    return [{"name": name} for name in published_names()]


def _presets() -> list[dict[str, Any]]:
    from mmdbench.training.presets import PRESETS

    return [
        {"name": own.name, "training": own.task, "profile": own.base, "meaning": own.meaning}
        for own in PRESETS
    ]


def _tasks() -> list[dict[str, Any]]:
    from mmdbench.records import ANSWER
    from mmdbench.scoring.tasks import TASKS

    meanings = {ANSWER: "the benchmark's own questions are answered"}
    meanings |= {name: task.meaning for name, task in TASKS.items()}
    return [{"name": name, "meaning": meaning} for name, meaning in meanings.items()]
