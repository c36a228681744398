"""Write docs/severity.md from six photographs of `mini`, at three sizes; takes about two minutes."""

from __future__ import annotations

import sys
from pathlib import Path

from mmdbench.benches import decode_image, open_bench
from mmdbench.corruptions.calibration import CalibrationSettings, calibrate, to_markdown

TARGET = Path(__file__).resolve().parents[1] / "docs" / "severity.md"
PHOTOS = ("astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg", "fruits.jpg", "dog.jpg")


def main() -> int:
    """Write the page."""
    images = {}
    for question in open_bench("mini").questions:
        photo = question.fields["photo"]
        if photo in PHOTOS and photo not in images:
            images[photo] = decode_image(question.images[0].read(), photo)
    found = calibrate(images, CalibrationSettings(enlarge=True), lambda step: print(step, file=sys.stderr))
    TARGET.write_text(to_markdown(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
