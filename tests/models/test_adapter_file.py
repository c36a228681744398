"""An adapter in a file: what belongs to it is part of the fingerprint, and the rest of the machine is not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.models import ModelCard, open_model
from mmdbench.results.graded_run import load_results
from mmdbench.system.digest import bytes_digest
from mmdbench.system.python_file import file_digest, load_file

EVAL = "eval --model own --model-card card.toml --bench mini --sample 3 --level clean -o run --quiet"
ADAPTER = """
import sys
sys.path.insert(0, {folder!r})
import json
import pkg.deep.leaf
from helper import says
from mmdbench.records import Outcome
from numpy import mean

class Own:
    def fingerprint(self):
        return {{"name": "own"}}

    def generate(self, requests):
        import lazy
        return [Outcome(says()) for _ in requests]

def load(card):
    return Own()
"""
FILES = {
    "helper.py": "from pkg import constant\ndef says():\n    return 'A'\n",
    "lazy.py": "",
    "pkg/__init__.py": "from . import constant",
    "pkg/constant.py": "X = 1",
    "pkg/deep/__init__.py": "",
    "pkg/deep/leaf.py": "from ..other import y\nfrom .. import third",
    "pkg/other.py": "y = 1",
    "pkg/third.py": "",
    "beside.py": "Z = 1",
    "venv/lib/python3/site-packages/installed.py": "",
    "weights.bin": "0",
}
OURS = [name for name in FILES if "installed" not in name and name not in ("beside.py", "weights.bin")]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of an adapter with modules beside it, and a function that unloads them."""
    folder = tmp_path / "mine"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "own.py").write_text(ADAPTER.format(folder=str(folder)))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget():
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]

    yield folder, forget
    forget()


def fingerprint(folder, forget):
    forget()
    return open_model(ModelCard("own", str(folder / "own.py"))).fingerprint()["adapter_file"]


def change(path):
    path.write_text(path.read_text() + "\n# changed\n")


def test_a_module_that_the_adapter_imports_is_part_of_its_fingerprint(own):
    folder, forget = own
    seen = {fingerprint(folder, forget)}
    for name in OURS:
        change(folder / name)
        seen.add(fingerprint(folder, forget))
    assert len(seen) == len(OURS) + 1
    for name in set(FILES) - set(OURS):
        change(folder / name)
        assert fingerprint(folder, forget) in seen, name


def test_it_is_the_same_in_another_folder_and_that_of_a_file_alone_is_the_files(own, tmp_path):
    folder, forget = own
    first = fingerprint(folder, forget)
    moved = folder.rename(tmp_path / "moved")
    sys.path.remove(str(folder))
    (moved / "own.py").write_text(ADAPTER.format(folder=str(folder)))  # the same text as before
    sys.path.insert(0, str(moved))
    assert fingerprint(moved, forget) == first
    alone = moved / "alone.py"
    alone.write_text("def load(card):\n    import helper.x, json\n    return None")
    assert file_digest(load_file(alone, "alone")) != bytes_digest(alone.read_bytes())
    alone = moved / "alone2.py"
    alone.write_text("import json\n")
    assert file_digest(load_file(alone, "alone")) == bytes_digest(alone.read_bytes())


def test_a_run_asks_anew_after_a_change_of_a_helper(own, monkeypatch):
    folder, forget = own
    monkeypatch.chdir(folder.parent)
    Path("card.toml").write_text('[own]\nadapter = "mine/own.py"\n')

    def asked():
        forget()
        done = CliRunner().invoke(app, EVAL.split())
        assert done.exit_code == 0, done.output
        return json.loads(Path("run", "manifest.json").read_text("utf-8"))["sessions"][-1]["asked"]

    assert (asked(), asked()) == (3, 0)
    (folder / "helper.py").write_text("def says():\n    return 'B'\n")
    assert (asked(), asked()) == (3, 0)
    assert {reply.text for reply in load_results(Path("run")).replies.values()} == {"B"}
