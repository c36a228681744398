r"""The published training format: JSON lines with pictures and a conversation, written and read.

A turn is one string. A text that asks for a restoration holds the tag alone on a line, and continues
with the text that follows the restored picture::

    {"id": "…", "subset": "…", "split_type": "sft", "image": "pictures/….jpeg", "conversations": [
      {"from": "human", "value": "<image>\nHow many dogs are there?"},
      {"from": "gpt", "value": "<think>…</think>\n<image_restore>\n<think>…</think>\n<answer>2</answer>"}
    ], "clean_image": "pictures/….png", "mode": "generate"}

`image` is the degraded picture, `clean_image` the one that stands in for the restored picture. Every
other key is kept in `details`. Paths are relative to the file's folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdbench.errors import DataError
from mmdbench.records import RESTORE_TAG
from mmdbench.system.files import open_atomic
from mmdbench.system.json_text import parse_json

__all__ = [
    "IMAGE_MARK",
    "Conversation",
    "TrainingRecord",
    "asks_for_picture",
    "human_turn",
    "join_texts",
    "read_conversation",
    "read_records",
    "split_text",
    "without_mark",
    "write_records",
]

IMAGE_MARK = "<image>"
"""The place of the picture in a human turn."""

_KEYS = ("id", "subset", "split_type", "image", "conversations", "clean_image", "mode")
_TAG_LINE = re.compile(rf"^[^\S\n]*{re.escape(RESTORE_TAG)}[^\S\n]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of a conversation: who speaks (`human` or `gpt`), and the text."""

    turns: tuple[tuple[str, str], ...]

    @property
    def question(self) -> str:
        """The first human turn, without the picture's mark."""
        return without_mark(self._first("human"))

    @property
    def solution(self) -> str:
        """The first gpt turn; empty if there is none."""
        return self._first("gpt")

    def as_list(self) -> list[dict[str, str]]:
        """The turns as the format holds them."""
        return [{"from": speaker, "value": text} for speaker, text in self.turns]

    def _first(self, speaker: str) -> str:
        return next((text for who, text in self.turns if who == speaker), "")


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """A sample of a training set.

    `split_type` is `sft` or `rl`; `mode` is `direct` or `generate`, empty where the recipe has no
    modes. The texts of a record of supervised training are `texts`, the question of one of
    reinforcement learning is `conversation.question`, and its reference `conversation.solution`.
    """

    id: str
    subset: str
    split_type: str
    image: str
    conversation: Conversation
    clean_image: str = ""
    mode: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def texts(self) -> tuple[str, ...]:
        """The answer as it is trained: up to and including the tag, and the rest; or the whole of it."""
        return split_text(self.conversation.solution)

    def as_dict(self) -> dict[str, Any]:
        """The record as the format holds it."""
        found: dict[str, Any] = {"id": self.id, "subset": self.subset, "split_type": self.split_type}
        found |= {"image": self.image, "conversations": self.conversation.as_list()}
        found |= {key: value for key in ("clean_image", "mode") if (value := getattr(self, key))}
        return found | dict(self.details)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], where: str) -> TrainingRecord:
        """Read a record back.

        Args:
            record: A line of the file.
            where: Its place, for messages.

        Returns:
            The record.

        Raises:
            DataError: A key is missing, or its value is not of the format.
        """
        named = {key: record.get(key, "") for key in _KEYS if key != "conversations"}
        for key, value in named.items():
            if not isinstance(value, str) or (not value and key in ("split_type", "image")):
                raise DataError(f"{where}: {key!r} must be a text, got {value!r:.80}.")
        conversation = read_conversation(record.get("conversations"), where)
        details = {key: value for key, value in record.items() if key not in _KEYS}
        return cls(conversation=conversation, details=details, **named)


def read_conversation(value: Any, where: str) -> Conversation:
    """The turns of a value of `conversations`.

    Args:
        value: A list of objects with the texts `from` and `value`.
        where: The place of the value, for messages.

    Returns:
        The conversation, which has a human turn.

    Raises:
        DataError: The value is something else.
    """
    turns = []
    for turn in value if isinstance(value, Sequence) and not isinstance(value, str) else ():
        speaker, text = (turn.get(k) if isinstance(turn, Mapping) else None for k in ("from", "value"))
        if not isinstance(speaker, str) or not isinstance(text, str):
            raise DataError(f"{where}: a turn must have the texts 'from' and 'value', got {turn!r:.80}.")
        turns.append((speaker, text))
    if "human" not in dict(turns):
        raise DataError(
            f"{where}: 'conversations' has no human turn.",
            hint='Write it as [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}].',
        )
    return Conversation(tuple(turns))


def without_mark(text: str) -> str:
    r"""A human turn without the picture's mark at its beginning or end.

    >>> without_mark("<image>\nHow many dogs are there?")
    'How many dogs are there?'
    """
    stripped = text.strip()
    if stripped.startswith(IMAGE_MARK):
        return stripped.removeprefix(IMAGE_MARK).strip()
    return stripped.removesuffix(IMAGE_MARK).strip()


def human_turn(question: str) -> tuple[str, str]:
    """The human turn of a question about one picture."""
    return "human", f"{IMAGE_MARK}\n{question}"


def asks_for_picture(text: str) -> bool:
    """True if the restoration tag stands alone on a line of a text."""
    return bool(_TAG_LINE.search(text))


def split_text(text: str) -> tuple[str, ...]:
    """A text up to and including its first restoration tag, and the rest of it, unchanged.

    Returns:
        The two parts; the text alone if it has no tag.
    """
    before, tag, after = text.partition(RESTORE_TAG)
    return (before + tag, after) if tag else (text,)


def join_texts(*texts: str) -> str:
    r"""One turn from the texts around a restored picture, with the tag alone on its line.

    >>> join_texts("<think>dark</think><image_restore>", "<think>a cup</think><answer>B</answer>")
    '<think>dark</think>\n<image_restore>\n<think>a cup</think><answer>B</answer>'
    """
    parts = [part.strip() for text in texts for part in text.partition(RESTORE_TAG)]
    return "\n".join(part for part in parts if part)


def write_records(path: str | Path, records: Iterable[TrainingRecord]) -> int:
    """Write a training set; the file appears when the last record is written.

    Args:
        path: The file.
        records: The records, in order.

    Returns:
        The number of records.
    """
    count = 0
    with open_atomic(Path(path)) as file:
        for record in records:
            file.write(json.dumps(record.as_dict(), ensure_ascii=True).encode() + b"\n")
            count += 1
    return count


def read_records(path: str | Path) -> Iterator[TrainingRecord]:
    """The records of a training set. Raises DataError with file and line for what is not of the format."""
    if not Path(path).is_file():
        raise DataError(
            f"There is no training set {path}.", hint="mmdbench assign writes sft.jsonl and rl.jsonl."
        )
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                record = parse_json(line)
            except ValueError as error:
                raise DataError(f"{where}: not JSON ({error}).") from error
            if not isinstance(record, dict):
                raise DataError(f"{where}: a JSON object is needed, got {line[:40]!r}.")
            yield TrainingRecord.from_dict(record, where)
