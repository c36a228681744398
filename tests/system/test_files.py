"""Files that are written as a whole or not at all."""

from __future__ import annotations

import pytest

from mmdbench.errors import StoreError
from mmdbench.system.files import make_folder, open_atomic, write_atomic


def test_an_atomic_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "f"
    write_atomic(path, "old")

    def fail_half_way():
        with open_atomic(path) as file:
            file.write(b"half of the new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(StoreError, match=r"Cannot write .*x.*Name another folder"):
        make_folder(tmp_path / "x" / "y")
