"""Helpers for corruptions that are implemented twice, by OpenCV and in numba."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from optional_packages import needs

ROOT = Path(__file__).resolve().parents[2]

needs_numba = needs("numba")


def photo(name="astronaut_256x192"):
    """A photograph of the golden set as RGB pixels."""
    path = ROOT / "tests" / "golden" / "corruptions" / f"{name}.png"
    return np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1])


def engine_fixture(module):
    """A fixture that runs a test once with each of the two implementations of a module."""

    # The implementation is hidden behind a private function; nothing public switches it.
    @pytest.fixture(params=[pytest.param("numba", marks=needs_numba), "cv2"])
    def engine(request, monkeypatch):
        if request.param == "cv2":
            monkeypatch.setattr(module, "_kernel", lambda: None)
        return request.param

    return engine


def run_python(program, **environment):
    """Output of a program in a process of its own, which imports mmdbench from this checkout."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
