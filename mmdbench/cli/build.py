"""`mmdbench build`: degraded benchmarks as files."""

from __future__ import annotations

__all__ = ["build"]


def build() -> None:
    """Write a degraded benchmark to disk."""
