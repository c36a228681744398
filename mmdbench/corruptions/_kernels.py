"""Access to the numba implementations, which are optional."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["from_numba"]


def from_numba(module: str, name: str) -> Any:
    """A function of a numba module of this package; None if numba is missing, broken or switched off."""
    try:
        import numba

        # Without its compiler numba cannot run the vector code at all.
        if numba.config.DISABLE_JIT:
            return None
        return getattr(import_module(f"mmdbench.corruptions.{module}"), name)
    except ImportError:
        return None
