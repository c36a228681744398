"""Maps of columns: which column of a source is the question, the picture, the answer and so on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmdbench.benches.option_columns import is_label
from mmdbench.errors import DataError, UsageError
from mmdbench.system.files import write_atomic
from mmdbench.system.json_text import parse_json
from mmdbench.system.shapes import check_shape

__all__ = ["FIRST_ANSWER", "TARGETS", "map_text", "parse_columns", "recall_columns", "remember_columns"]

FIRST_ANSWER = "first_answer"
"""The key of a map that tells the number of the first option where answers are numbers: 0 or 1."""

TARGETS = (
    *("index", "question", "image", "answer", "options", "hint", "category", "l2-category", "split"),
    *("prompt", "g_index"),
)
"""The columns of a benchmark that a map may name, beside the options A, B, C …"""


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """A map of columns as it is typed.

    Args:
        texts: Pairs such as `question=prompt`, several of them with commas between them. An image may be in
            several columns (`image=image_1+image_2`); `index=` numbers the rows; `first_answer=0` counts
            answers that are numbers from 0.

    Returns:
        The names in the source by the names in a benchmark.

    Raises:
        UsageError: A pair is none, names no column of a benchmark, or is given twice.

    >>> parse_columns(["question=prompt,image=img", "A=first"])
    {'question': 'prompt', 'image': 'img', 'A': 'first'}
    """
    found: dict[str, str] = {}
    for pair in (pair.strip() for text in texts for pair in text.split(",") if pair.strip()):
        target, equals, name = (part.strip() for part in pair.partition("="))
        if not equals or (not name and target != "index"):
            raise UsageError(f"--column takes NAME=COLUMN, got {pair!r}.", hint="--column question=prompt")
        if target not in (*TARGETS, FIRST_ANSWER) and not is_label(target):
            raise UsageError(
                f"--column: a benchmark has no column {target!r}.",
                hint=f"Known: {', '.join(TARGETS)}, A to Z, {FIRST_ANSWER}.",
            )
        if target in found:
            raise UsageError(f"--column: {target!r} is given twice.")
        if target == FIRST_ANSWER and name not in ("0", "1"):
            raise UsageError(f"--column: {FIRST_ANSWER} must be 0 or 1, got {name!r}.")
        found[target] = name
    return found


def map_text(columns: Mapping[str, str]) -> str:
    """A map as it is typed.

    >>> map_text({"question": "prompt", "A": "first"})
    'question=prompt,A=first'
    """
    return ",".join(f"{target}={name}" for target, name in columns.items())


def recall_columns(file: Path, source: str) -> dict[str, str]:
    """The map that was last given for a source; empty without one. Raises DataError for a damaged file."""
    try:
        maps = parse_json(file.read_bytes())
        check_shape(maps, dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{file} holds no maps of columns: {error}.", hint="Delete it.") from error
    return parse_columns([maps.get(source, "")])


def remember_columns(file: Path, source: str, columns: Mapping[str, str]) -> None:
    """Keep a map for later commands about the same source.

    Args:
        file: The file of all maps, a JSON object.
        source: The source as it is named on the command line.
        columns: Its map.

    Raises:
        DataError: The file is damaged.
        StoreError: It cannot be written.
    """
    if recall_columns(file, source) == columns:
        return
    maps = parse_json(file.read_bytes()) if file.exists() else {}
    maps[source] = map_text(columns)
    write_atomic(file, json.dumps(maps, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
