"""An adapter in a package of its own, installed and run."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from child_processes import Child, command_line

EXAMPLE = Path(__file__).parents[2] / "examples" / "adapter_package"


def as_installed(folder, *words):
    """Do as the command line where the package is installed, with a configuration of its own."""
    sys.path.insert(0, f"{folder}/site")
    os.environ["XDG_CONFIG_HOME"] = folder
    command_line(*words)


def test_a_package_of_its_own_adds_a_model(make_tsv, installer, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "build"))
    installer.install(source, f"--target={tmp_path / 'site'}")
    path = make_tsv(6)

    def run(*words):
        with Child([tmp_path, *words], as_installed, folder=source) as child:
            code = child.wait()
        return code, child.stderr

    for model, darkest in (("brightness", 0.0), ("brightness-of-the-dark", 0.5)):
        code, said = run("eval", "--model", model, "--bench", path, "-o", tmp_path / model, "--quiet")
        assert code == 0, said
        text = (tmp_path / model / "replies-0.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
        assert len(rows) == 24
        for row in rows:
            place = max(0.0, row["details"]["brightness"] - darkest) / (1 - darkest)
            assert row["text"] == "ABCD"[int(place * 4)]
    code, said = run("eval", "--model", "brightness", "--set", "adapter=brightnes", "--bench", path)
    assert code == 2
    assert "Did you mean 'brightness'" in said
    assert sysconfig.get_paths()["purelib"] not in (tmp_path / "brightness" / "manifest.json").read_text()
