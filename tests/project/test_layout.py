"""The plan of the package: rooms, import contract and layout of the tests."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APART = {"__init__.py", "__main__.py", "_version.py", "py.typed", "corruptions_spec.yaml", "__pycache__"}


def test_the_package_has_at_most_eighteen_rooms():
    rooms = {path.name for path in (ROOT / "mmdbench").iterdir()} - APART
    assert len(rooms) <= 18, sorted(rooms)


def test_tests_are_in_the_folder_of_their_room():
    rooms = {path.stem for path in (ROOT / "mmdbench").iterdir()} | {"adapters", "project", "conformance"}
    for path in (ROOT / "tests").rglob("test_*.py"):
        assert path.relative_to(ROOT / "tests").parts[0] in rooms, path
