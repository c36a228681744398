"""A bounded run over all readers: what was damaged in its structure is read, or refused in one line.

For more, MMDBENCH_FUZZ=3000 python -m pytest -n 0 tests/project/test_fuzz_readers.py
and, with other numbers, MMDBENCH_FUZZ_FIRST=5000.
"""

from __future__ import annotations

import os
import random
import shutil
import warnings
from pathlib import Path

import pytest

from mmdbench.errors import MmdbenchError
from readers import FOLDERS, READERS

CHANGES = int(os.environ.get("MMDBENCH_FUZZ", "30"))
FIRST = int(os.environ.get("MMDBENCH_FUZZ_FIRST", "0"))


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A folder with whole files for each kind, made once."""
    made = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            FOLDERS[kind](made[kind])
        return made[kind]

    return folder_of


def problem_of(read, folder):
    """The fault of reading a folder: an exception that is not ours, or an error of many lines."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(folder)
    except MmdbenchError as error:
        text = str(error)
        if error.exit_code not in (2, 4) or not text or "\n" in text:
            return f"{error.exit_code}: {text[:2000]!r}"
    return ""


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_in_one_line(name, examples, tmp_path, monkeypatch):
    reader = READERS[name]
    shutil.copytree(examples(reader.folder), tmp_path / "folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("TEAM", "t")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "folder" / reader.file
    whole = path.read_bytes()
    assert not problem_of(reader.read, tmp_path / "folder")
    for number in range(FIRST, FIRST + CHANGES):
        path.write_bytes(reader.change(whole, random.Random(f"{name} {number}")))
        try:
            problem = problem_of(reader.read, tmp_path / "folder")
        except Exception as error:
            raise AssertionError(f"{name}, change {number}: {path.read_bytes()[:3000]!r}") from error
        assert not problem, f"{name}, change {number}: {path.read_bytes()[:3000]!r}"
