"""The canary's results that were printed, so that twenty runs of one model do not repeat a long line."""

from __future__ import annotations

import json
import time

from mmdbench.errors import StoreError
from mmdbench.system.environment import cache_folder
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.system.json_text import parse_json

__all__ = ["is_news"]

_SECONDS_REMEMBERED = 7 * 86400


def is_news(fingerprint: str, verdict: str) -> bool:
    """True if this verdict on this model was not printed within a week; it counts as printed from now on.

    The user's cache folder keeps it; without one, every line is news.
    """
    path = cache_folder() / "canary" / f"{fingerprint}.json"
    try:
        printed = parse_json(path.read_bytes())
        if printed["printed"] == verdict and time.time() - printed["at"] < _SECONDS_REMEMBERED:
            return False
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nothing was printed yet, or by an early version
    try:
        make_folder(path.parent)
        write_atomic(path, json.dumps({"printed": verdict, "at": int(time.time())}) + "\n")
    except StoreError:
        pass
    return True
