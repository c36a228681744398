"""One rule decides which names, read from a file, mean something inside its folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mmdbench.errors import DataError, StoreError
from mmdbench.system.inner_paths import inner_path, is_plain_name, path_within, refuse_links

PLAIN = ("a.tsv", "images/7.0.jpg", ".hidden/a", "a..b", "...", "ab:c", "Ünï cödé/🐟.png", "a b", "~", "-rf")
ESCAPES = (
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "./a",
    "a/./b",
    "/etc/passwd",
    "//host/share",
    "a//b",
    "a/",
    "\\x",
    "a\\..\\x",
    "..\\x",
    "C:x",
    "C:\\x",
    "c:/x",
    "\\\\host\\share\\x",
    "a\0b",
    "\ud800",
    None,
    7,
    ["a"],
    b"a",
)


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_is_inside(tmp_path, name):
    assert is_plain_name(name)
    assert inner_path(tmp_path, name, "manifest.json") == tmp_path / name


@pytest.mark.parametrize("name", ESCAPES)
def test_any_other_name_is_refused(tmp_path, name):
    assert not is_plain_name(name)
    with pytest.raises(StoreError, match="names the file"):
        inner_path(tmp_path, name, "manifest.json")


@pytest.mark.parametrize("name", ["link", "link/x", "a/link", "a/link/x"])
@pytest.mark.parametrize("target", ["/etc", "..", "a", "nothing there"])
def test_a_link_is_not_followed_wherever_it_leads(tmp_path, name, target):
    (tmp_path / "a").mkdir()
    for place in ("", "a"):
        (tmp_path / place / "link").symlink_to(target)
    with pytest.raises(DataError, match="is a link"):
        inner_path(tmp_path, name, "a log", DataError)


def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to("disk")
    assert inner_path(tmp_path / "runs", "a", "a log") == tmp_path / "runs" / "a"
    refuse_links(tmp_path / "runs")


def test_a_path_within_a_folder_has_no_dots_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    assert path_within(data, data / "x/../images//7.jpg") == data / "images/7.jpg"
    assert path_within(Path("data"), Path("data/./7.jpg")) == Path("data/7.jpg")
    assert path_within(Path(), Path("7.jpg")) == Path("7.jpg")
    assert path_within(Path("/"), Path("/a/b")) == Path("/a/b")
    assert path_within(data, tmp_path / "data" / "x") == data / "x"
    for outside in (data, data / "..", data / "../data2/x", tmp_path / "data2", Path("/etc/passwd")):
        assert path_within(data, outside) is None


def test_links_below_the_users_own_data_are_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "7.jpg").write_bytes(b"7")
    assert path_within(tmp_path / "data", tmp_path / "data/images/7.jpg").read_bytes() == b"7"


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are made in another way there")
@pytest.mark.parametrize("place", ["", "images", ".parts/a"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_folder_with_anything_but_files_and_folders_is_refused(tmp_path, place, kind):
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a").write_text("a")
    refuse_links(tmp_path)
    if kind == "link":
        (folder / "x").symlink_to("a")
    else:
        os.mkfifo(folder / "x")
    with pytest.raises(StoreError, match=r"x is (a link|neither a file nor a folder)"):
        refuse_links(tmp_path)


def test_a_folder_that_is_not_there_has_no_links(tmp_path):
    refuse_links(tmp_path / "new")
