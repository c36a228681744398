"""The machine and software of a result, as records that hold nothing private; its cache and its network."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from mmdbench._version import __version__

__all__ = ["cache_folder", "git_state", "is_offline", "portable", "versions"]


def cache_folder() -> Path:
    """The folder that is kept between runs: MMDBENCH_CACHE, or `mmdbench` in the user's cache folder."""
    own = os.environ.get("MMDBENCH_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmdbench"


def is_offline() -> bool:
    """True if MMDBENCH_OFFLINE or HF_HUB_OFFLINE forbids downloads."""
    names = ("MMDBENCH_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in names)


def portable(value: Any) -> Any:
    """A value for a record: every absolute path is cut down to its last name.

    >>> portable({"checkpoint": "/home/me/models/tiny", "endpoint": "https://host/v1"})
    {'checkpoint': 'tiny', 'endpoint': 'https://host/v1'}
    """
    if isinstance(value, Path):
        return value.name
    if isinstance(value, str):
        windows = PureWindowsPath(value)
        if value.startswith(("/", "~/")) or (windows.drive and windows.root):
            return windows.name
        return value
    if isinstance(value, Mapping):
        return {str(key): portable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [portable(inner) for inner in value]
    return value


def git_state() -> dict[str, Any] | None:
    """The commit of the source that runs and, as `dirty`, if files were changed since; None if installed."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - git
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def versions() -> dict[str, str]:
    """The versions of everything that could change a pixel or a grade, by name."""
    from importlib import metadata

    import cv2
    import numpy as np
    from PIL import __version__ as pillow
    from PIL import features

    found = {
        "mmdbench": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": pillow,
        "libjpeg": str(features.version("jpg")),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    for name in ("numba", "pandas", "openai"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
