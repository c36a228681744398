"""A set of corruptions in a package of one's own, as if it were installed: `toy` in a folder of the path."""

from __future__ import annotations

import sys
from pathlib import Path

from mmdbench.corruptions.sets import set_members
from mmdbench.corruptions.spec_file import ADDED

CODE = '''
"""A toy set."""

import numpy as np

from mmdbench.corruptions import corruption
from mmdbench.corruptions import params as p


@corruption(gain=p.number(0, 1))
def darker(image, params):
    return (image * params["gain"]).astype(np.uint8)


@corruption(lambda values, rng: {"rows": rng.integer(1, values.integer("most"))}, rows=p.integer(0, 100))
def turned(image, params):
    return np.ascontiguousarray(np.roll(image, params["rows"], axis=0)[:, ::-1])
'''

SPEC = """
version: "7"
intensities: {low: 0.1, mid: 0.5, hard: 1.0}
categories: {capture: c, transmission: t, environmental: e, post_processing: p}
corruptions:
  darker:
    category: capture
    meaning: everything darker
    numbers:
      gain: {unit: gain, formula: "1 - 0.9*i", at: [0.91, 0.55, 0.1]}
  turned:
    category: post_processing
    meaning: turned and mirrored
    random: [rows]
    loses: [left_right, counting]
    numbers:
      most: {unit: rows, formula: 20}
"""


def install_set(monkeypatch, folder: Path, code: str = CODE, spec: str = SPEC, name: str = "toy") -> str:
    """Write a package and its entry point into a folder, put that on the path, and return the set's name."""
    package = folder / f"{name}_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code, encoding="utf-8")
    (package / f"{name}_spec.yaml").write_text(spec, encoding="utf-8")
    facts = folder / f"{name}_package-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1.0\n", "utf-8")
    points = f"[mmdbench.corruptions.sets]\n{name} = {name}_package\n"
    (facts / "entry_points.txt").write_text(points, "utf-8")
    monkeypatch.syspath_prepend(folder)
    forget(name)
    return name


def forget(name: str = "toy") -> None:
    """Make this process know nothing of a set, as a new one does."""
    set_members.cache_clear()
    sys.modules.pop(f"{name}_package", None)
    for member in [member for member in ADDED if member.startswith(f"{name}.")]:
        del ADDED[member]
