"""The house's own lint and the import contract: the code keeps them, and a planted fault is found."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"


@pytest.fixture(scope="module")
def lint():
    spec = importlib.util.spec_from_file_location("house_lint", ROOT / "tools" / "house_lint.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["house_lint"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["house_lint"]


LONG = "\n".join(f"    x = {i}" for i in range(41))
FAULTS = {
    "question": '"""What is found here."""\n',
    "word": '"""It goes on here."""\n',
    "args": 'def sum_of(a: int, b: int, c: int) -> int:\n    """Sum of three numbers."""\n',
    "length": f"def long() -> None:\n{LONG}\n",
    "params": "def _many(a, b, c, d, e, f, g) -> None: ...\n",
    "private": "from mmdbench.scoring._rows import read\n",
    "circle": "def late() -> None:\n    from mmdbench.stats import first\n",
}


def planted(tmp_path, **files):
    for name in ("mmdbench/stats/first.py", "mmdbench/stats/second.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files.get(path.stem, ""), "utf-8")
    return tmp_path


@pytest.mark.parametrize("code", FAULTS)
def test_a_planted_fault_is_found(lint, tmp_path, code):
    root = planted(tmp_path, first="from mmdbench.stats import second\n", second=FAULTS[code])
    assert {finding.code for finding in lint.check(root)} == {code}


def test_a_class_that_is_defined_twice_is_found_at_both_places(lint, tmp_path):
    root = planted(tmp_path, first="class Row: ...\n", second="class Row: ...\n")
    assert [(f.code, f.path) for f in lint.check(root)] == [
        ("twice", "mmdbench/stats/first.py"),
        ("twice", "mmdbench/stats/second.py"),
    ]


def test_a_described_function_is_in_order(lint, tmp_path):
    text = (
        'def sum_of(a: int, b: int, c: int) -> int:\n    """Sum of three.\n\n    Args:\n'
        "        a: The first.\n"
        '        b: The second.\n        c: The third.\n\n    Returns:\n        The sum.\n    """\n'
    )
    assert lint.check(planted(tmp_path, first=text)) == []


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("from test_first import help", {"tests"}),
        ("from mmdbench.stats._means import mean", {"private"}),
        ("from mmdbench.stats.means import _mean", {"private"}),
        ("monkeypatch.setattr(means, '_mean', 3)", {"private"}),
        ("monkeypatch.setattr('mmdbench.stats.means._mean', 3)", {"private"}),
        ("from mmdbench.stats.means import _mean  # private: no table shows it", set()),
        ("from mmdbench.stats._rows.means import mean", set()),
        ("def test_it_goes_on(): ...", {"word"}),
        ('def made():\n    """What a test needs."""', {"question"}),
    ],
)
def test_a_fault_in_a_test_is_found(lint, tmp_path, line, codes):
    root = planted(tmp_path)
    for name, text in (("tests/test_second.py", line), ("mmdbench/stats/_rows/__init__.py", "")):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, "utf-8")
    assert {finding.code for finding in lint.check(root)} == codes


@pytest.mark.parametrize(
    ("file", "line", "says"),
    [
        (
            "stats/estimates.py",
            "from mmdbench.report import scores\n",
            "mmdbench.stats is not allowed to import",
        ),
        ("stats/estimates.py", "def late():\n    from mmdbench.cli import app\n", "not allowed to import"),
        ("newroom.py", '"""A room that no layer names."""\n', "newroom"),
    ],
)
def test_the_contract_finds_a_planted_upward_import_and_a_room_that_it_does_not_name(
    tmp_path, file, line, says
):
    shutil.copytree(ROOT / "mmdbench", tmp_path / "mmdbench", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "adapters", tmp_path / "mmdbench" / "adapters")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "mmdbench" / file).open("a", encoding="utf-8") as module:
        module.write(line)
    done = subprocess.run(
        [sys.executable, "-c", CONTRACT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert says in done.stdout
