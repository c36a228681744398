"""Builds that name files elsewhere, or hold links: nothing outside is read, written or removed."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build_samples import build, write_tsv
from mmdbench.builds import build as build_module
from mmdbench.builds.manifest import read_build
from mmdbench.builds.replay import read_manifest_of
from mmdbench.builds.source_benches import SourceBenches, find_source_benches
from mmdbench.builds.verify import verify_build
from mmdbench.errors import DataError, MmdbenchError, StoreError, UsageError

PLAN = {"levels": ("hard",)}
NAMES = ("../private/x", "{private}/x", "..", ".", "", "own_hard/../../private/x", "thesis.tex", "private\0x")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark, and a finished build of each kind."""
    folder = tmp_path_factory.mktemp("finished")
    write_tsv(folder / "own.tsv", 3, width=24, height=16)
    for kind in ("tsv", "folder", "webdataset"):
        build(folder / "own.tsv", folder / kind, format=kind, **PLAN)
    return folder


@pytest.fixture
def made(tmp_path: Path, finished: Path) -> Callable[..., Path]:
    """Make a build in the folder `out`, beside files that are not its own; the first time it is a copy."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "x").write_text("private")
    shutil.copy(finished / "own.tsv", tmp_path)
    folder = tmp_path / "out"
    made_before: list[str] = []

    def make(kind: str = "tsv") -> Path:
        if made_before:
            build(tmp_path / "own.tsv", folder, format=kind, **PLAN)
        else:
            shutil.copytree(finished / kind, folder)
        made_before.append(kind)
        (folder / "thesis.tex").write_text("years")
        return folder

    return make


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest["outputs"][0])
    (folder / "manifest.json").write_text(json.dumps(manifest))


def rename(folder: Path, place: str, name: str) -> None:
    name = name.format(private=folder.parent / "private")

    def change(output: dict[str, Any]) -> None:
        record = output["log"] if place == "log" else output["files"][0]
        record["file"] = name

    change_manifest(folder, change)


def all_there(folder: Path) -> bool:
    private = folder.parent / "private" / "x"
    return private.read_text() == "private" and (folder / "thesis.tex").read_text() == "years"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["files", "log"])
@pytest.mark.parametrize("kind", ["tsv", "folder"])
def test_a_manifest_that_names_other_files_removes_and_replaces_none(made, kind: str, place: str, name: str):
    folder = made(kind)
    rename(folder, place, name)
    before = sorted(folder.rglob("*"))
    with pytest.raises(StoreError, match="which is not a file of this build"):
        made(kind)
    assert all_there(folder)
    assert sorted(folder.rglob("*")) == before


def test_a_manifest_that_takes_a_file_for_another_output_removes_none(made):
    folder = made()
    (folder / "thesis_hard.tsv").write_text("years")
    record = {"file": "thesis_hard.tsv", "bytes": 1, "sha256": ""}
    new = {"bench": "thesis", "level": "hard", "files": [record]}
    log = {"file": "manifests/thesis_hard.jsonl", "bytes": 1, "sha256": ""}
    change_manifest(folder, lambda output: output.update({**new, "log": log}))
    with pytest.raises(StoreError, match="no record of the benchmark 'thesis'"):
        made()
    assert (folder / "thesis_hard.tsv").read_text() == "years"


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_that_names_other_files_moves_and_replaces_none(made, monkeypatch, name: str):
    folder = made()
    shutil.rmtree(folder)

    class Stopped(Exception):  # noqa: N818 - a signal, not an error
        pass

    def stop(*_: object, **__: object) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "move_output", stop)
        with pytest.raises(Stopped):
            made()
    (folder / "thesis.tex").write_text("years")
    path = folder / ".parts/own/checkpoint.json"
    checkpoint = json.loads(path.read_text())
    checkpoint["finished"][0]["files"][0]["file"] = name.format(private=folder.parent / "private")
    path.write_text(json.dumps(checkpoint))
    with pytest.raises(StoreError, match="which is not a file of this build"):
        made()
    assert all_there(folder)


def test_files_of_the_user_in_a_folder_of_pictures_are_not_removed_with_it(made):
    folder = made("folder")
    notes = folder / "own_hard" / "images" / "notes.txt"
    for wrong in (notes, folder / "own_hard" / "mine.jpg", folder / "own_hard" / "images" / "deep" / "1.jpg"):
        wrong.parent.mkdir(exist_ok=True)
        wrong.write_text("mine")
        (folder / "own_hard" / "metadata.jsonl").write_text("damaged")
        with pytest.raises(UsageError, match="is not a file of the build"):
            made("folder")
        assert wrong.read_text() == "mine"
        wrong.unlink()
        if wrong.parent.name == "deep":
            wrong.parent.rmdir()
    made("folder")
    assert verify_build(folder, SourceBenches()).problems == ()


@pytest.mark.parametrize("place", [".parts", ".parts/own", "manifests", "own_hard.tsv", ".lock"])
def test_links_in_the_folder_of_a_build_are_not_followed(made, place: str):
    folder = made()
    elsewhere = folder.parent / "private"
    shutil.rmtree(folder)
    (folder / place).parent.mkdir(parents=True)
    target = elsewhere / "new" if place == ".lock" else elsewhere / "x" if "tsv" in place else elsewhere
    (folder / place).symlink_to(target)
    with pytest.raises(MmdbenchError, match=r"is a link|Too many levels|has the name of an output"):
        made()
    assert [p.name for p in elsewhere.iterdir()] == ["x"]
    assert (elsewhere / "x").read_text() == "private"


@pytest.mark.parametrize("kind", ["tsv", "folder", "webdataset"])
def test_an_unfinished_file_that_is_a_link_is_not_written_through(made, kind: str):
    folder = made(kind)
    secret = folder.parent / "private" / "x"
    shutil.rmtree(folder)
    for name in ("own_hard.tsv", "own_hard-00000.tar", "own_hard/images/0.jpg", "manifests/own_hard.jsonl"):
        path = folder / ".parts/own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(secret)
    with pytest.raises(StoreError, match="is a link"):
        made(kind)
    assert secret.read_text() == "private"


@pytest.mark.parametrize("name", ["../private/x", "{private}/x"])
@pytest.mark.parametrize("place", ["files", "log"])
def test_verify_and_replay_read_nothing_outside_the_build(made, place: str, name: str):
    folder = made("folder")
    (folder / "thesis.tex").unlink()
    rename(folder, place, name)
    problems = verify_build(folder, SourceBenches()).problems
    assert any("is not inside" in problem.what for problem in problems)
    if place == "log":
        with pytest.raises(StoreError, match="is not inside"):
            read_manifest_of(folder)


def test_verify_reads_no_picture_outside_the_build(made):
    folder = made("folder")
    path = folder / "own_hard" / "metadata.jsonl"
    first, *rest = map(json.loads, path.read_text().splitlines())
    first["file_name"] = "../../private/x"
    path.write_text("".join(json.dumps(row) + "\n" for row in (first, *rest)))
    problems = verify_build(folder, SourceBenches()).problems
    assert any("'../../private/x', which is not inside" in problem.what for problem in problems)


def test_a_member_of_an_archive_that_is_a_link_is_a_problem_of_its_file(made):
    folder = made("webdataset")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        link = tarfile.TarInfo("00000000.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (folder / "own_hard-00000.tar").write_bytes(data.getvalue())
    problems = verify_build(folder, SourceBenches()).problems
    assert any("holds '00000000.jpg', which is not a file" in problem.what for problem in problems)


@pytest.mark.parametrize("name", ["../private/x", "{private}/x"])
def test_a_manifest_names_no_source_elsewhere(made, name: str):
    folder = made()
    manifest = read_build(folder)
    manifest["benches"][0]["file"] = name.format(private=folder.parent / "private")
    with pytest.raises(StoreError, match="is not inside"):
        find_source_benches(manifest, folder)


@pytest.mark.parametrize("name", ["...tsv", "..tsv"])
def test_a_benchmark_whose_name_is_a_folder_above_is_refused(made, tmp_path: Path, name: str):
    made()
    (tmp_path / "own.tsv").rename(tmp_path / name)
    with pytest.raises(DataError, match="is not inside"):
        build(tmp_path / name, tmp_path / "out2", **PLAN)
