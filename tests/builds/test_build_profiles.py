"""Builds of photographs with an ICC profile or an orientation: every picture upright, with its profile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build_samples import build, opened, text
from mmdbench.builds.manifest import read_build
from mmdbench.builds.replay import ImageQuery, find_picture, read_manifest_of, replay
from mmdbench.builds.source_benches import find_source_benches
from mmdbench.builds.verify import VerifySettings, verify_build
from mmdbench.errors import DataError
from mmdbench.library.building import replay as replay_file
from mmdbench.system.digest import bytes_digest
from mmdbench.variants.codec import encode
from profiled_pictures import ORIENTATION, encoded, photo, rgb_profile
from profiled_pictures import opened as picture_of

LEVELS = ("clean", "recoded", "hard")


def write(path: Path, *pictures: bytes) -> Path:
    rows = [f"{n}\tQuestion {n}?\tyes\tno\tA\t{text(picture)}" for n, picture in enumerate(pictures)]
    path.write_text("\n".join(["index\tquestion\tA\tB\tanswer\timage", *rows]) + "\n")
    return path


def problems(folder: Path, source: Path):
    return verify_build(
        folder, find_source_benches(read_build(folder), folder, files=[source]), VerifySettings()
    ).problems


def drop_profiles(folder: Path) -> None:
    """Make a build as it was before profiles were kept: no digest of one in its logs, whole again."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for output in manifest["outputs"]:
        path = folder / output["log"]["file"]
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows[1:]:
            for image in row["images"]:
                image["recipe"].pop("icc", None)
        path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
        output["log"].update(bytes=path.stat().st_size, sha256=bytes_digest(path.read_bytes()))
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("codec", ["jpeg:95", "webp:80", "png"])
def test_every_picture_is_upright_with_its_profile(tmp_path: Path, codec: str) -> None:
    source = write(
        tmp_path / "own.tsv",
        encoded(photo(0), "JPEG", icc=rgb_profile()),
        encoded(photo(1), "JPEG", 6, rgb_profile()),
        encoded(photo(2), "PNG"),
    )
    build(source, tmp_path / "out", levels=LEVELS, codec=codec)
    for level in LEVELS:
        questions = opened(tmp_path / "out" / f"own_{level}.tsv").questions
        pictures = [picture_of(question.images[0].read()) for question in questions]
        assert [p.info.get("icc_profile") for p in pictures] == [rgb_profile(), rgb_profile(), None]
        assert [p.size for p in pictures] == [(60, 40), (40, 60), (60, 40)]
        assert not any(ORIENTATION in p.getexif() for p in pictures)
    assert problems(tmp_path / "out", source) == ()


def test_a_build_from_before_profiles_were_kept_is_still_right(tmp_path: Path, monkeypatch) -> None:
    source = write(
        tmp_path / "own.tsv", encoded(photo(0), "JPEG", icc=rgb_profile()), encoded(photo(1), "PNG")
    )
    with monkeypatch.context() as before:
        before.setattr("mmdbench.variants.recipes.encode", lambda pixels, codec, *_: encode(pixels, codec))
        build(source, tmp_path / "out", levels=LEVELS)
    assert [p.what for p in problems(tmp_path / "out", source)] == [
        "its pixels are right, but the picture is encoded in other bytes here."
    ] * 2
    drop_profiles(tmp_path / "out")
    assert problems(tmp_path / "out", source) == ()


def test_replay_writes_the_profile_and_refuses_a_picture_with_another(tmp_path: Path) -> None:
    source = write(tmp_path / "own.tsv", encoded(photo(0), "PNG", icc=rgb_profile()))
    build(source, tmp_path / "out", levels=("hard",))
    for name in ("a.jpg", "a.png"):
        replay_file(tmp_path / "out", ImageQuery("0"), tmp_path / name, sources=[source])
        assert picture_of((tmp_path / name).read_bytes()).info["icc_profile"] == rgb_profile()
    _, logs = read_manifest_of(tmp_path / "out")
    other = write(tmp_path / "bare.tsv", encoded(photo(0), "PNG"))
    with pytest.raises(DataError, match="not the picture that own_hard, index 0 was made from"):
        replay(find_picture(logs, ImageQuery("0")), opened(other))
