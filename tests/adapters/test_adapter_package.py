"""An adapter in a package of its own, installed and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "adapter_package"


def test_a_package_of_its_own_adds_a_model(make_tsv, tmp_path):
    source = tmp_path / "source"
    for file in EXAMPLE.rglob("*"):
        if file.is_file() and "egg-info" not in str(file) and "__pycache__" not in str(file):
            copy = source / file.relative_to(EXAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
    ]
    subprocess.run(
        [*install, "--target", str(tmp_path / "site"), str(source)], check=True, capture_output=True
    )
    path = make_tsv(6)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "XDG_CONFIG_HOME": str(tmp_path)}

    def run(*words):
        command = [sys.executable, "-m", "mmdbench", *words]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, cwd=source
        )

    for model, darkest in (("brightness", 0.0), ("brightness-of-the-dark", 0.5)):
        done = run("eval", "--model", model, "--bench", str(path), "-o", str(tmp_path / model), "--quiet")
        assert done.returncode == 0, done.stderr
        text = (tmp_path / model / "replies-0.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
        assert len(rows) == 24
        for row in rows:
            place = max(0.0, row["details"]["brightness"] - darkest) / (1 - darkest)
            assert row["text"] == "ABCD"[int(place * 4)]
    wrong = run("eval", "--model", "brightness", "--set", "adapter=brightnes", "--bench", str(path))
    assert wrong.returncode == 2
    assert "Did you mean 'brightness'" in wrong.stderr
    assert sysconfig.get_paths()["purelib"] not in (tmp_path / "brightness" / "manifest.json").read_text()
