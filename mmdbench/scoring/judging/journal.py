"""The journal of a judge: every call is written down, and none is made twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mmdbench.errors import StoreError

__all__ = ["JsonlJournal", "JudgeJournal"]


class JudgeJournal(Protocol):
    """Where judge calls are kept.

    A record holds `key` (a digest of prediction, options, protocol, judge, prompt, attempt and
    sampling), `bench`, `index`, `attempt`, `judge`, `protocol`, `prompt_id`, `prompt_sha256`,
    `temperature`, `max_tokens`, `status` and `text`.
    """

    def find(self, key: str) -> Mapping[str, Any] | None:
        """The latest record under a key, if there is one."""
        ...

    def add(self, record: Mapping[str, Any]) -> None:
        """Write one call down before its reply is used."""
        ...


class JsonlJournal:
    """A journal in one file, a JSON record per line; a line that was cut short costs one call, no more."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._records: dict[str, Mapping[str, Any]] = {}
        self._needs_newline = False
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"The judge's journal {self.path} cannot be read: {error}.") from error
        self._needs_newline = bool(text) and not text.endswith("\n")
        for line in text.split("\n"):
            record = _parse(line)
            if record is not None:
                self._records[record["key"]] = record

    def find(self, key: str) -> Mapping[str, Any] | None:
        """The latest record under a key, if there is one."""
        return self._records.get(key)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append one record; it is on disk when this returns. Raises StoreError."""
        line = json.dumps(dict(record), ensure_ascii=True) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n" + line if self._needs_newline else line)
        except OSError as error:
            raise StoreError(f"The judge's journal {self.path} cannot be written: {error}.") from error
        self._needs_newline = False
        self._records[record["key"]] = record


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("key"), str) else None
