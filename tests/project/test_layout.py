"""The plan of the package: rooms, import contract and layout of the tests."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from child_processes import PRELOADED

ROOT = Path(__file__).resolve().parents[2]
APART = {"__init__.py", "__main__.py", "_version.py", "py.typed", "corruptions_spec.yaml", "__pycache__"}


def test_the_package_has_at_most_nineteen_rooms():
    rooms = {path.name for path in (ROOT / "mmdbench").iterdir()} - APART
    assert len(rooms) <= 19, sorted(rooms)


def test_tests_are_in_the_folder_of_their_room():
    rooms = {path.stem for path in (ROOT / "mmdbench").iterdir()} | {"adapters", "project", "conformance"}
    for path in (ROOT / "tests").rglob("test_*.py"):
        assert path.relative_to(ROOT / "tests").parts[0] in rooms, path


def test_the_map_names_files_and_functions_that_are_there():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rows = page.split("| you look for |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(rows) > 10
    for row in rows:
        names = re.findall(r"`([^`]+)`", row.split("|")[2])
        paths = [name for name in names if "/" in name]
        folder = (ROOT / "mmdbench" / paths[0]).parent
        files = [
            next((p for p in (ROOT / "mmdbench" / n, ROOT / n, folder / n) if p.exists()), n)
            for n in names
            if "/" in n or n.endswith(".py")
        ]
        assert all(isinstance(file, Path) for file in files), row
        source = "".join(file.read_text("utf-8") for file in files if file.is_file())
        for function in re.findall(r"\(`(\w+)`\)", row):
            assert f"def {function}(" in source, row


def test_the_decision_page_lists_every_room_in_the_order_of_the_contract():
    contract = (ROOT / "pyproject.toml").read_text("utf-8").split("layers = [")[1].split("]")[0]
    page = (ROOT / "docs" / "decisions" / "rooms.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", page, re.MULTILINE)
    assert listed == re.findall(r'"(\w+)"', contract)


def test_every_package_is_installed():
    text = (ROOT / "pyproject.toml").read_text("utf-8").split("\npackages = [")[1].split("]")[0]
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "mmdbench").rglob("__init__.py")}
    adapters = {path.parent.relative_to(ROOT) for path in (ROOT / "adapters").rglob("__init__.py")}
    packages = {".".join(folder.parts) for folder in folders}
    packages |= {".".join(("mmdbench", *folder.parts)) for folder in adapters}
    assert set(re.findall(r'"([\w.]+)"', text)) == packages


def test_forked_processes_share_modules_that_exist():
    assert [name for name in PRELOADED if find_spec(name) is None] == []
