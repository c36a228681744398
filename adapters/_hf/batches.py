"""Batches that fit into memory: the limit is halved, for good, when a batch runs out of memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

__all__ = ["Batches", "grouped"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batches:
    """Runs work in batches of at most `limit`, which only falls.

    `is_memory` recognises an error of memory; `release` frees what a failed batch has left.
    """

    def __init__(
        self, limit: int, is_memory: Callable[[BaseException], bool], release: Callable[[], None]
    ) -> None:
        self.limit = limit
        self._is_memory = is_memory
        self._release = release

    def run(
        self, items: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Answer]]
    ) -> list[Answer | Exception]:
        """One answer for each item, in order, or the error of an item that fails by itself.

        A batch that fails for another reason than memory is run one by one, so that one bad
        item does not fail its neighbours.
        """
        answers: list[Answer | Exception] = []
        alone = 0
        while len(answers) < len(items):
            start = len(answers)
            size = 1 if start < alone else min(self.limit, len(items) - start)
            failure = None
            try:
                answers += work(items[start : start + size])
            except Exception as error:  # noqa: BLE001 - handled below, where its frames can be freed
                failure = error
            if failure is None:
                continue
            failure.__traceback__ = None  # its frames hold the batch's tensors
            if self._is_memory(failure):
                self._release()
            if size == 1:
                answers.append(failure)
            elif self._is_memory(failure):
                self.limit = size // 2
            else:
                alone = start + size
        return answers


def grouped(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """Items of one key together, in their order."""
    groups: dict[Hashable, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
