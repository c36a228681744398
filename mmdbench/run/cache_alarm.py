"""Alarm for replies that do not seem to depend on the picture.

A server that answers from its cache for another picture looks like a model without any drop: all
variants of a question get the reply of the first one. A robust model changes a few replies in a
hundred. One that changes none in two hundred, or writes the same long text about different pictures,
causes a warning. Replies are counted within one session of a run.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from mmdbench.records import RECODED, Index, Reply

__all__ = ["SameReplies"]

_LONG_TEXT = 80
_LONG_PAIRS, _LONG_SHARE = 20, 0.9
_PAIRS, _SHARE = 200, 0.995
_QUESTIONS_OPEN = 512


@dataclass
class SameReplies:
    """Counts of replies that equal the first reply to another picture of the same question."""

    pairs: int = 0
    same: int = 0
    long_pairs: int = 0
    long_same: int = 0
    _first: OrderedDict[tuple[str, Index], tuple[str, tuple[str, ...]]] = field(default_factory=OrderedDict)

    def see(self, reply: Reply) -> None:
        """Count one reply; failures and the level `recoded` do not count."""
        if reply.status != "ok" or reply.level == RECODED or not reply.images:
            return
        pixels = tuple(str(image["pixels"]) for image in reply.images)
        question = (reply.bench, reply.index)
        first = self._first.get(question)
        if first is None:
            self._first[question] = (reply.text, pixels)
            if len(self._first) > _QUESTIONS_OPEN:
                self._first.popitem(last=False)
            return
        if pixels == first[1]:
            return
        same = reply.text == first[0]
        self.pairs += 1
        self.same += same
        if max(len(reply.text), len(first[0])) >= _LONG_TEXT:
            self.long_pairs += 1
            self.long_same += same

    @property
    def alarm(self) -> str:
        """The warning in one sentence; empty if nothing is suspicious."""
        if self.long_pairs >= _LONG_PAIRS and self.long_same >= _LONG_SHARE * self.long_pairs:
            return (
                f"{self.long_same} of {self.long_pairs} long replies are the same, letter for letter, as the "
                "reply to another picture of their question: the server may answer from a cache."
            )
        if self.pairs >= _PAIRS and self.same >= _SHARE * self.pairs:
            return (
                f"{self.same} of {self.pairs} replies are the same as the reply to another picture of their "
                "question: the server may answer from a cache, or the model may not look at the pictures."
            )
        return ""
