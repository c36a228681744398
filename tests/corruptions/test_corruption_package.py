"""A corruption in a package of its own, installed and used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "corruption_package"
USE = """
import json, sys
import numpy as np
import mmdbench
from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec

assert "mmdbench_rain" not in sys.modules
photo = np.zeros((300, 400, 3), np.uint8)
means = [float(mmdbench.corrupt(photo, "rain", level=level).mean()) for level in ("low", "mid", "hard")]
bench, out = sys.argv[1:]
words = ["eval", "--model", "chance", "--bench", bench, "--design", "grid", "--level", "hard", "-o", out]
app([*words, "--corruption", "rain,graffiti", "--quiet"], standalone_mode=False)
print("facts:", json.dumps([means, load_spec().corruption("rain").code]))
app(["list", "corruptions", "--json"], standalone_mode=False)
"""


def test_a_package_of_its_own_adds_a_corruption(make_tsv, installer, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "build"))
    installer.install(source, f"--target={tmp_path / 'site'}")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "XDG_CONFIG_HOME": str(tmp_path)}

    def used(folder):
        command = [sys.executable, "-c", USE, str(make_tsv(3)), str(tmp_path / folder)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
        facts, listed = done.stdout.partition("facts:")[2].split("\n", 1)
        return json.loads(facts), json.loads(listed)

    (means, code), listed = used("run")
    assert means == sorted(means)
    assert means[0] > 0
    assert listed[-1]["name"] == "rain"
    assert listed[-1]["category"] == "environmental"
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))
    assert manifest["spec"]["corruptions"]["rain"]["code"] == code
    shared = tmp_path / "site" / "mmdbench_rain" / "drawing.py"
    shared.write_text(shared.read_text("utf-8").replace("255.0", "250.0"), encoding="utf-8")
    assert used("again")[0][1] != code
