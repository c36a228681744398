"""The examples in docstrings do what they show."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = "mmdbench/integrations"  # each needs a package that is not always there


def modules_with_examples():
    for path in sorted((ROOT / "mmdbench").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(OPTIONAL) and ">>> " in path.read_text("utf-8"):
            yield name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@pytest.mark.parametrize("module", list(modules_with_examples()))
def test_examples(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        made = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        pytest.skip("needs torch")
    found = doctest.testmod(made)
    assert found.attempted
    assert not found.failed
