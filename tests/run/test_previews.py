"""Previews: made once, used only if this user made them and they are whole, and never a part of a run."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.records import ImageBytes, Recipe, Variant
from mmdbench.report.page import thumbnails, write_page
from mmdbench.results.pictures import SourceFolders
from mmdbench.run import previews
from mmdbench.run.merge import merge_runs
from mmdbench.run.previews import PreviewFolder, PreviewsBeside, make_preview
from mmdbench.system.remote.uploads import files_in
from mmdbench.variants.recipes import SOURCE, clean_image
from page_runs import digest_of, graded, questions, write_bench, write_pictured_run
from pictures import picture, png
from scripted_runs import make_run

DIGEST = "ab" * 32


@pytest.fixture(autouse=True)
def own_secret(tmp_path, monkeypatch):
    """A folder for this user's secret, so that tests leave nothing in the real one."""
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run(tmp_path):
    """A run of six questions with pictures, and their benchmark in `data`."""
    write_bench(tmp_path / "data", questions(6))
    return write_pictured_run(tmp_path / "run", questions(6))


def page_of(run):
    """The summary and the digest of a run's page."""
    out = run.parent / "page.html"
    made = write_page(*graded(run), out, folders=SourceFolders(run.parent / "data"))
    return made, digest_of(out)


def kept(run):
    return sorted((run / ".previews").iterdir())


@pytest.fixture
def made(monkeypatch):
    """The recipes of the pictures that pages made again."""
    found = []
    remake = thumbnails.remake
    monkeypatch.setattr(
        thumbnails, "remake", lambda image, recipe: found.append(recipe) or remake(image, recipe)
    )
    return found


def test_a_preview_is_small_and_shows_the_picture():
    pixels = picture(3, 600, 900)
    image = Image.open(io.BytesIO(make_preview(pixels)))
    assert (image.format, image.size) == ("WEBP", (384, 256))
    want = np.asarray(Image.fromarray(pixels).resize((384, 256), Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - want).mean() < 12
    assert Image.open(io.BytesIO(make_preview(picture(3, 1, 3000)))).size == (384, 1)


def test_the_second_page_makes_no_picture_and_is_the_same(run, made):
    first = page_of(run)
    assert len(made) == 6 * 4
    assert page_of(run) == first
    assert len(made) == 6 * 4
    assert first[0].pictures == len(kept(run)) == 6 * 4 + 1  # and the one that the model made


def test_a_damaged_or_renamed_preview_is_made_anew(run, made):
    first = page_of(run)
    files = kept(run)
    files[0].write_bytes(files[0].read_bytes()[:-1])
    files[1].write_bytes(b"")
    files[2].write_bytes(bytes(2_000_000))
    files[3].write_bytes(files[4].read_bytes())
    _, _, seal = files[5].name.partition("-")
    files[5].rename(files[5].with_name(f"{files[6].name.partition('-')[0]}-{seal}"))
    files[6].unlink()
    made.clear()
    assert page_of(run) == first
    assert len(made) >= 5
    made.clear()
    assert page_of(run) == first
    assert made == []
    assert len({file.name[:32] for file in kept(run)}) == len(kept(run))


def test_previews_of_another_user_are_not_shown(run, made, tmp_path, monkeypatch):
    first = page_of(run)
    made.clear()
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path / "another"))
    assert page_of(run) == first
    assert len(made) == 6 * 4
    assert (tmp_path / "another" / "previews.key").stat().st_mode & 0o77 == 0
    assert (tmp_path / "another" / "previews.key").stat().st_size == 32


def test_links_and_pipes_in_their_place_are_not_followed(tmp_path):
    folder = PreviewFolder(tmp_path)
    folder.put(DIGEST, b"seen")
    (file,) = kept_in(tmp_path)
    assert PreviewFolder(tmp_path).get(DIGEST) == b"seen"
    (tmp_path / "elsewhere").write_bytes(b"seen")
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    assert PreviewFolder(tmp_path).get(DIGEST) is None
    file.unlink()
    os.mkfifo(file)
    assert PreviewFolder(tmp_path).get(DIGEST) is None
    shutil.rmtree(tmp_path / ".previews")
    (tmp_path / "target").mkdir()
    (tmp_path / ".previews").symlink_to(tmp_path / "target")
    PreviewFolder(tmp_path).put(DIGEST, b"seen")
    assert list((tmp_path / "target").iterdir()) == []


def kept_in(folder):
    return list((folder / ".previews").iterdir())


def test_a_page_is_made_where_nothing_can_be_kept(run, made, tmp_path, monkeypatch):
    first = page_of(run)
    shutil.rmtree(run / ".previews")
    (run / ".previews").write_text("a file is in the way")
    assert page_of(run) == first
    (run / ".previews").unlink()
    (tmp_path / "full").write_text("")
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path / "full" / "cache"))  # no secret can be written
    assert page_of(run) == first
    assert not (run / ".previews").exists()


def test_a_folder_that_refuses_files_is_not_asked_again(tmp_path, monkeypatch):
    tried = []

    def refuse(path):
        tried.append(path)
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(previews, "unfinished_file", refuse)
    folder = PreviewFolder(tmp_path)
    for number in range(3):
        folder.put(f"{number}", b"seen")
    assert len(tried) == 1
    assert folder.get("0") is None


def test_a_picture_with_other_pixels_than_the_run_saw_does_not_stand_for_it(tmp_path):
    folder = PreviewFolder(tmp_path)
    folder.put(DIGEST, b"seen")
    assert folder.get(DIGEST.replace("a", "c")) is None
    assert folder.get("") is None
    assert folder.get("\ud800") is None
    folder.put("", b"nothing is known of these pixels")
    assert len(kept_in(tmp_path)) == 1


def test_previews_are_no_part_of_a_run(run):
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    page_of(run)
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    assert len(kept(run)) > 0
    assert not [name for name in files_in(run) if "preview" in name]
    merge_runs([run], run.parent / "whole")
    assert not (run.parent / "whole" / ".previews").exists()
    done = CliRunner().invoke(app, ["verify", str(run)])
    assert ".previews" not in done.output


def variants(count):
    """Clean pictures, each with other pixels."""
    return [
        Variant(Recipe("", None, None, "", "", 0, SOURCE), {}, clean.source, clean.digest)
        for clean in (clean_image(png(picture(number)), "a test") for number in range(count))
    ]


class Clock:
    """A clock that a test moves, and that moves by `work` while a preview is made."""

    def __init__(self, monkeypatch, work):
        self.now = 0.0

        def make(pixels):
            self.now += work
            return make_preview(pixels)

        monkeypatch.setattr(previews, "make_preview", make)

    def __call__(self):
        return self.now


def after_a_minute(folder, monkeypatch):
    """The previews of a run that has asked for a minute."""
    clock = Clock(monkeypatch, work=0.01)
    beside = PreviewsBeside(PreviewFolder(folder), clock=clock)
    clock.now += 60
    return beside


def test_a_run_spends_a_fiftieth_of_its_time_on_previews(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, work=0.01)
    beside = PreviewsBeside(PreviewFolder(tmp_path), threads=2, clock=clock)
    for variant in variants(40):
        clock.now += 0.05  # of each of two threads, for the picture and for the model
        beside.leave([variant])
    assert len(kept_in(tmp_path)) == pytest.approx(0.02 * 2 * clock.now / 0.01, abs=1)


def test_a_slow_model_leaves_time_for_all_previews_which_pages_then_use(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, work=0.01)
    beside = PreviewsBeside(PreviewFolder(tmp_path), clock=clock)
    for variant in variants(12) * 2:
        clock.now += 1.0
        beside.leave([variant])
    assert len(kept_in(tmp_path)) == 12
    folder = PreviewFolder(tmp_path)
    for number, variant in enumerate(variants(12)):
        assert folder.get(variant.pixels) == make_preview(picture(number))


def test_a_restored_picture_is_not_the_one_that_a_page_shows(tmp_path, monkeypatch):
    beside = after_a_minute(tmp_path, monkeypatch)
    beside.leave([replace(variant, restored={"before": "x"}) for variant in variants(2)])
    assert not (tmp_path / ".previews").exists()


def test_a_picture_that_cannot_be_shown_costs_no_reply(tmp_path, monkeypatch):
    first, second = variants(2)
    beside = after_a_minute(tmp_path, monkeypatch)
    beside.leave([replace(first, image=ImageBytes(b"no picture", "image/png")), second])
    assert second.pixels in PreviewFolder(tmp_path)
    assert len(kept_in(tmp_path)) == 1


def test_a_run_leaves_previews_of_which_a_page_makes_use(tmp_path, made, monkeypatch):
    write_bench(tmp_path / "data", questions(6))
    monkeypatch.setattr(previews, "SHARE_OF_TIME", 1e9)  # the time of a model that answers at once is none
    files = [tmp_path / "data" / "toy.tsv"]
    run = make_run(tmp_path / "run", files, lambda request: "A", levels=("clean", "low", "hard"))
    assert len(kept(run)) == 6 * 3
    page_of(run)
    assert made == []
    assert len(kept(run)) == 6 * 3
