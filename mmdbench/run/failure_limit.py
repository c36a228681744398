"""Limits on failed requests, beyond which a model is asked no more."""

from __future__ import annotations

from typing import Protocol

from mmdbench.models.failures import AttemptError
from mmdbench.records import Request

__all__ = ["FailureLimit", "RequestFailures"]

_FAILURES_IN_A_ROW = 5


class FailureLimit(Protocol):
    """Counter of failures that decides when they are too many."""

    def reset(self) -> None:
        """Count from 0 again: a request was answered."""
        ...

    def count(self, request: Request, error: AttemptError, *, is_retried: bool) -> str:
        """Count a failed attempt.

        Args:
            request: The request that failed.
            error: Its failure.
            is_retried: True if the request is sent again.

        Returns:
            The reason not to ask the model any more, empty if it may be asked.
        """
        ...


class RequestFailures:
    """Limit on failed requests in a row: as many as are sent at once, but at least five."""

    def __init__(self, concurrency: int) -> None:
        self._most = max(_FAILURES_IN_A_ROW, concurrency)
        self._in_a_row = 0

    def reset(self) -> None:
        """Count from 0 again: a request was answered."""
        self._in_a_row = 0

    def count(self, request: Request, error: AttemptError, *, is_retried: bool) -> str:
        """Count a failed attempt.

        Args:
            request: The request that failed; not used.
            error: Its failure.
            is_retried: True if the request is sent again; it does not count then.

        Returns:
            The reason not to ask the model any more, empty if it may be asked.
        """
        del request
        if is_retried:
            return ""
        self._in_a_row += 1
        if self._in_a_row < self._most:
            return ""
        return f"failed at {self._in_a_row} requests in a row: {error.reason}."
