"""A corruption from outside the package: the text of a file that defines `rain`."""

from __future__ import annotations

from pathlib import Path

RAIN = '''
"""Rain, as a file of one's own."""

import numpy as np

from mmdbench.corruptions import corruption
from mmdbench.corruptions import params as p


def sample_rain(values, rng):
    height, width = values.size
    drops = [[rng.integer(0, width - 1), rng.integer(0, height - 1)] for _ in range(values.integer("count"))]
    return {"drops": drops, "length": values.integer("length")}


@corruption(
    sample_rain,
    stanza={
        "category": "environmental",
        "meaning": "bright streaks",
        "random": ["place of each drop"],
        "look": "bright vertical streaks",
        "numbers": {
            "count": {"unit": "drops", "formula": "5 + int(100*i)", "scale": "count"},
            "length": {"unit": "px", "formula": 6, "scale": "length", "min": 1},
        },
    },
    drops=p.rows(2),
    length=p.integer(1, 10000),
)
def rain(image, params):
    for x, y in params["drops"]:
        image[y : y + params["length"], x] = 250
    return image
'''


def write_rain(folder: Path, change: str = "") -> Path:
    """Write the file, with a change of its code if there is one (`old→new`)."""
    old, _, new = change.partition("→")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "my_rain.py"
    path.write_text(RAIN.replace(old, new) if change else RAIN, encoding="utf-8")
    return path
