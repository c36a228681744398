"""Journal of the calls to a judge: no call that was answered is made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol, TypedDict

from mmdbench.errors import ShapeError, StoreError
from mmdbench.run.json_lines import LineAppender, read_lines
from mmdbench.scoring import Judge, JudgeCall, JudgeReply
from mmdbench.scoring.inference import FAIL_MARKER
from mmdbench.system.files import cannot_write, make_folder
from mmdbench.system.shapes import check_shape

__all__ = [
    "JournalledJudge",
    "JsonlJournal",
    "JudgeJournal",
    "find_reply",
]


class JudgeJournal(Protocol):
    """Storage of calls to judges and their replies.

    A record holds `key` (a digest of prediction, options, protocol, judge, prompt, attempt and
    sampling), `bench`, `index`, `attempt`, `judge`, `protocol`, `prompt_id`, `prompt_sha256`,
    `temperature`, `max_tokens`, `status` and `text`; `served` where the server names its model, and `sent`
    where the model was sent other settings.
    """

    def find(self, key: str) -> Mapping[str, Any] | None:
        """The latest record under a key, if there is one."""
        ...

    def add(self, record: Mapping[str, Any]) -> None:
        """Store one call with its reply."""
        ...


class JsonlJournal:
    """A journal in one file of checked JSON lines (`json_lines`).

    Raises StoreError for a damaged file, and for a line that is no call of a judge.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._records: dict[str, Mapping[str, Any]] = {}
        self._lines: int | None = None
        for number, record in read_lines(self.path, skip_broken=True) if self.path.exists() else ():
            try:
                check_shape(record, _CallRecord, "call")
            except ShapeError as error:
                raise StoreError(
                    f"{self.path}, line {number} is no call of a judge: {error}.",
                    hint="Move what it holds elsewhere and leave it empty; the other lines are good.",
                ) from error
            self._records[record["key"]] = record

    @property
    def judges(self) -> tuple[str, ...]:
        """Ids of the judges that it holds calls of, the first that was asked first."""
        return tuple(dict.fromkeys(str(r["judge"]) for r in self._records.values() if "judge" in r))

    def served(self, judge: str) -> set[str]:
        """The names by which a server answered as the judge of that id."""
        return {str(r["served"]) for r in self._records.values() if r.get("judge") == judge and "served" in r}

    def find(self, key: str) -> Mapping[str, Any] | None:
        """The latest record under a key, if there is one."""
        return self._records.get(key)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append one record to the file, with all earlier ones if it was removed. Raises StoreError."""
        make_folder(self.path.parent)
        kept = () if self.path.exists() else self._records.values()
        try:
            with closing(LineAppender(self.path, 0 if kept else self._lines)) as file:
                for one in (*kept, record):
                    file.append(json.dumps(dict(one), ensure_ascii=True))
                self._lines = file.lines
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._records[record["key"]] = record


class JournalledJudge:
    """A judge that answers from a journal, and adds to it what it had to ask; several threads may ask it.

    Without a journal every call is made. A call that failed is made again: its error would
    otherwise be kept for ever.
    """

    def __init__(self, judge: Judge, journal: JudgeJournal | None) -> None:
        self.id = judge.id
        self._judge = judge
        self._journal = journal
        self._writing = Lock()

    def ask(self, call: JudgeCall) -> JudgeReply:
        """Answer one call from the journal, or else by the judge."""
        key = call.key(self.id)
        known = find_reply(self._journal, key) if self._journal is not None else None
        if known is not None:
            return known
        reply = self._judge.ask(call)
        if self._journal is not None:
            record = {"key": key, "bench": call.bench, "index": call.index, **call.as_dict(self.id)}
            record |= {"served": reply.served} if reply.served else {}
            record |= {} if reply.sent is None else {"sent": dict(reply.sent)}
            with self._writing:
                self._journal.add({**record, "status": reply.status, "text": reply.text})
        return reply


def find_reply(journal: JudgeJournal, key: str) -> JudgeReply | None:
    """The reply that a journal holds under a key, None if it holds none or a failed one."""
    record = journal.find(key)
    if record is None or record.get("status") != "ok" or FAIL_MARKER in record["text"]:
        return None
    return JudgeReply(record["text"], sent=record.get("sent"))


class _Call(TypedDict):
    key: str
    text: str
    status: Literal["ok", "error"]


class _CallRecord(_Call, total=False):
    judge: str
    served: str
    sent: dict[str, Any] | None
