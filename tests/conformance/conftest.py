"""The folder of golden data: MMDBENCH_GOLDEN, by default tests/golden."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

GOLDEN = Path(os.environ.get("MMDBENCH_GOLDEN") or Path(__file__).parents[1] / "golden")


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of the golden data."""
    return GOLDEN
