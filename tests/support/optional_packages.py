"""Marks for tests that need an optional package; collecting them imports nothing."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(*packages):
    """A mark that skips a test unless all packages are installed."""
    missing = [name for name in packages if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
