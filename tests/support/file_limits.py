"""Limits of the operating system on files, set for a part of a test."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def limited(which: int = resource.RLIMIT_FSIZE, most: int = 0) -> Iterator[None]:
    """Context in which this process may not exceed a limit: by default, no file may be longer than `most`.

    Python ignores the signal that comes with a file that is too long, so a write fails as on a full disk.
    """
    soft, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(which, (soft, hard))
