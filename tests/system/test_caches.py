"""Caches: their sizes, and that freeing them removes nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmdbench.cli.clean import clean
from mmdbench.errors import UnknownNameError
from mmdbench.system.caches import CACHES, free_caches, list_caches
from mmdbench.system.locks import folder_lock
from mmdbench.system.remote import is_uploaded
from optional_packages import needs
from verb_calls import call


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache folder of a user with prompts, a secret and two remote copies."""
    monkeypatch.delenv("MMDBENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "mmdbench"
    for name, size in (
        ("prompts/a.txt", 100),
        ("previews.key", 32),
        ("other/mine.txt", 7),
        ("remote/one/file/etag/own.tsv", 1000),
        ("remote/one/read/run/manifest.json", 500),
        ("remote/two/data/MMStar.tsv", 300),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    return folder


def sizes():
    return {one.name: one.bytes for one in list_caches() if one.name != "kernels"}


def test_every_cache_has_its_size(cache):
    assert sizes() == {"remote": 1800, "prompts": 100, "canary": 0}
    assert [row["name"] for row in json.loads(call(clean, "--json"))] == list(CACHES)
    assert "remote     1.8 kB  copies of files" in call(clean)
    assert sizes()["remote"] == 1800


def test_what_is_named_is_freed_and_nothing_else(cache):
    assert "prompts: 0.1 kB freed" in call(clean, "prompts")
    assert sizes() == {"remote": 1800, "prompts": 0, "canary": 0}
    (freed,) = free_caches(["remote"])
    assert (freed.bytes, freed.kept) == (1800, ())
    assert sizes()["remote"] == 0
    assert (cache / "previews.key").read_bytes() == b"x" * 32
    assert (cache / "other" / "mine.txt").exists()


def test_an_unknown_name_frees_nothing(cache):
    with pytest.raises(UnknownNameError, match="promts"):
        free_caches(["remote", "promts"])
    assert sizes()["remote"] == 1800


def test_a_link_is_removed_and_not_what_it_points_to(cache, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("mine")
    (cache / "prompts" / "a.txt").unlink()
    (cache / "prompts").rmdir()
    (cache / "prompts").symlink_to(tmp_path / "own")
    (cache / "remote" / "three").symlink_to(tmp_path / "own")
    (cache / "remote" / "one" / "data").symlink_to(tmp_path / "own")
    free_caches(["prompts", "remote"])
    assert (tmp_path / "own" / "thesis.txt").read_text() == "mine"
    assert not os.path.lexists(cache / "prompts")


def test_a_copy_that_is_in_use_is_kept(cache):
    with folder_lock(cache / "remote" / "one" / "read", "working"):
        (freed,) = free_caches(["remote"])
    assert freed.bytes == 1300
    assert freed.kept == (f"{cache / 'remote' / 'one' / 'read'}: another process is using it",)
    assert (cache / "remote" / "one" / "read" / "run" / "manifest.json").exists()


def test_work_that_was_not_uploaded_is_kept(cache):
    run = cache / "remote" / "two" / "work" / "run"
    run.mkdir(parents=True)
    (run / "replies-0.jsonl").write_text("{}\n")
    said = call(clean, "remote")
    assert f"kept {run.parent}: it holds work that was not uploaded; run its command again." in said
    assert (run / "replies-0.jsonl").exists()


@needs("fsspec")
def test_work_that_was_uploaded_is_freed(cache):
    from mmdbench.system.remote import working_copy

    with working_copy("memory://caches/run") as folder:
        (folder / "manifest.json").write_text("{}")
        assert not is_uploaded(folder.parent)
    assert is_uploaded(folder.parent)
    (folder / "more.txt").write_text("later")
    assert not is_uploaded(folder.parent)
    (folder / "more.txt").unlink()
    free_caches(["remote"])
    assert not Path(folder).exists()


def test_kernels_are_those_of_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr("mmdbench.system.caches.__file__", str(tmp_path / "system" / "caches.py"))
    folder = tmp_path / "corruptions" / "__pycache__"
    folder.mkdir(parents=True)
    for name in ("a.nbi", "a.1.nbc", "a.pyc"):
        (folder / name).write_bytes(b"123")
    assert {one.name: one.bytes for one in list_caches()}["kernels"] == 6
    free_caches(["kernels"])
    assert [path.name for path in folder.iterdir()] == ["a.pyc"]
