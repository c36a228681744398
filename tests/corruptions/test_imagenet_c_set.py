"""The example set of ImageNet-C, installed from a built wheel and used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mmdbench.corruptions.spec_file import read_set, read_stanza, shipped_spec

imagecorruptions = pytest.importorskip(
    "imagecorruptions", reason="pip install --no-deps imagecorruptions-imaug==1.1.5"
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "imagenet_c_set"
USE = """
import json, sys
import numpy as np
import mmdbench
from mmdbench.cli import app
from mmdbench.corruptions import sample
from mmdbench.corruptions.plugins import use_corruptions
from mmdbench.system.digest import pixel_digest

assert "imagecorruptions" not in sys.modules
names = use_corruptions(["imagenet_c"])
y, x = np.mgrid[:40, :50]
photo = np.stack([(x * 5 + y) % 256, (x * y) % 256, 255 - x * 4], axis=-1).astype(np.uint8)
np.random.seed(1)
before = np.random.get_state()[1].tolist()
made = {}
for name in names:
    first, *others = (mmdbench.corrupt(photo, name, level=level) for level in ("mid", "mid", "low", "hard"))
    made[name] = [pixel_digest(picture) for picture in (first, *others)]
assert np.random.get_state()[1].tolist() == before
assert mmdbench.corrupt(photo[:1, :1], "imagenet_c.fog", level="hard").shape == (1, 1, 3)
strengths = (0.01, 0.2, 0.4, 0.6, 0.8, 1)
severities = [sample("imagenet_c.fog", (40, 50), intensity=i)["severity"] for i in strengths]
seeds = {sample("imagenet_c.fog", (40, 50), level=level, seed=7)["seed"] for level in ("low", "mid", "hard")}
bench, out = sys.argv[1:]
words = ["eval", "--model", "baseline", "--bench", bench, "--corruption-set", "imagenet_c", "-o", out]
app([*words, "--design", "balanced:3", "--level", "clean,hard", "--quiet"], standalone_mode=False)
print("facts:", json.dumps([made, severities, len(seeds)]))
"""


@pytest.mark.slow
def test_the_nineteen_are_a_set_from_a_wheel(make_tsv, tmp_path):
    source, wheels, site = tmp_path / "source", tmp_path / "wheels", tmp_path / "site"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "build"))
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "-q", "--no-deps", "-w", wheels, source]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run(
        [*pip, "install", "-q", "--no-deps", "--target", site, wheel], check=True, capture_output=True
    )
    done = subprocess.run(
        [sys.executable, "-c", USE, make_tsv(13), tmp_path / "run"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(site), "XDG_CONFIG_HOME": str(tmp_path)},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made, severities, seeds = json.loads(done.stdout.partition("facts:")[2])
    assert list(made) == [f"imagenet_c.{name}" for name in imagecorruptions.get_corruption_names("all")]
    assert all(first == again for first, again, *_ in made.values())
    assert all(len({mid, low, hard}) == 3 for mid, _, low, hard in made.values())
    assert severities == [1, 1, 2, 3, 4, 5]
    assert seeds == 1
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))
    assert (manifest["spec"]["set"], manifest["spec"]["version"]) == ("imagenet_c", "1")
    assert manifest["plan"]["corruptions"] == list(made)
    rows = (tmp_path / "run" / "grades.jsonl").read_text("utf-8").splitlines()
    assert len(rows) == 13 * 4


def test_its_categories_weigh_the_same_under_mixed():
    of_set, stanzas = read_set(EXAMPLE / "src" / "mmdbench_imagenet_c" / "imagenet_c_spec.yaml", "imagenet_c")
    weights = Counter()
    for name, stanza in stanzas.items():
        entry = read_stanza(name, stanza, "code", of_set)
        weights[entry.category] += entry.release_weight
    assert dict(weights) == dict.fromkeys(shipped_spec().categories, 100)
