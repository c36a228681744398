"""Names of the files and folders inside a run's folder."""

from __future__ import annotations

__all__ = ["IMAGES"]

IMAGES = "images"
"""The pictures that the model made on the way, where they are kept (`--keep-images`)."""
