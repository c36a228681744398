"""Packages that pip builds and installs; what builds need is installed once, not anew for each of them."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from mmdbench.system.toml import parse_toml


class Installer:
    """Builds and installs projects without their dependencies; a folder keeps what builds need."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._needs = cache(self._install_needs)

    def install(self, project: Path, *options: str, python: str = "") -> None:
        """Build a project with what its `pyproject.toml` asks for, and install it.

        Args:
            project: The project's folder.
            options: Options of `pip install`, such as `--target DIR`.
            python: The interpreter to install for; by default the one that runs the tests.
        """
        needs = parse_toml((project / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
        place = [f"--python={python}"] if python else []
        built = ("--no-index", "--no-deps", "--no-build-isolation", "--no-compile")
        folder = self._needs(tuple(needs))
        _pip(*place, "install", *built, *options, str(project), PYTHONPATH=str(folder))

    def _install_needs(self, needs: tuple[str, ...]) -> Path:
        folder = self._folder / f"needs-{len(list(self._folder.iterdir()))}"
        _pip("install", "--no-compile", "--target", str(folder), *needs)
        return folder


def _pip(*words: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", "-q", *words]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
