"""Write docs/severity.md from six photographs of `mini`, at three sizes; takes about two minutes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mmdbench.benches import decode_image, open_bench
from mmdbench.corruptions.calibration import CalibrationSettings, calibrate, to_markdown

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "severity.md"
PHOTOS = ("astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg", "fruits.jpg", "dog.jpg")


def photographs() -> dict[str, np.ndarray]:
    """The reference photographs, RGB, by file name."""
    found = {}
    for question in open_bench("mini").questions:
        photo = question.fields["photo"]
        if photo in PHOTOS and photo not in found:
            found[photo] = decode_image(question.images[0].read(), photo)
    return found


def main() -> int:
    """Write the page."""
    settings = CalibrationSettings(enlarge=True)
    found = calibrate(photographs(), settings, lambda step: print(step, file=sys.stderr))
    TARGET.write_text(to_markdown(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
