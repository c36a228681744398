"""Write docs/severity.md from six photographs of `mini`, at three sizes; takes about two minutes."""

from __future__ import annotations

import base64
import csv
import sys
from pathlib import Path

from mmdbench.corruptions.calibration import CalibrationSettings, calibrate, to_markdown
from mmdbench.system.images import decode_image

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "severity.md"
PHOTOS = ("astronaut.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg", "fruits.jpg", "dog.jpg")


def main() -> int:
    """Write the page."""
    csv.field_size_limit(10**8)
    images = {}
    with (ROOT / "mmdbench" / "benches" / "data" / "mini.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["photo"] in PHOTOS and row["photo"] not in images and len(row["image"]) > 64:
                images[row["photo"]] = decode_image(base64.b64decode(row["image"]), row["photo"])
    found = calibrate(images, CalibrationSettings(enlarge=True), lambda step: print(step, file=sys.stderr))
    TARGET.write_text(to_markdown(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
