"""Runs over photographs with an ICC profile or an orientation: what the model is sent in both arms."""

from __future__ import annotations

import base64
from pathlib import Path

import mmdbench
from mmdbench.run.folder import IMAGE_DIGESTS_FILE
from profiled_pictures import encoded, photo, rgb_profile

HOW = {"levels": ["clean", "hard"], "progress": False, "version": "1"}
seen: list = []


def answer(images, prompt):
    seen.append(images[0])
    return "A"


def write(path: Path, *pictures: bytes) -> Path:
    rows = [["index", "question", "A", "B", "answer", "image"]]
    rows += [
        [str(n), f"Is it {n}?", "yes", "no", "A", base64.b64encode(p).decode()]
        for n, p in enumerate(pictures)
    ]
    path.write_text("\n".join("\t".join(row) for row in rows) + "\n")
    return path


def test_clean_and_degraded_are_sent_upright_with_the_same_profile(tmp_path):
    seen.clear()
    path = write(
        tmp_path / "own.tsv",
        encoded(photo(0), "JPEG", icc=rgb_profile()),
        encoded(photo(1), "JPEG", 6, rgb_profile()),
        encoded(photo(2), "JPEG", 8),
    )
    mmdbench.evaluate(answer, str(path), out=tmp_path / "run", **HOW)
    profiles = [image.info.get("icc_profile") for image in seen]
    assert sorted(profiles, key=bool) == [None] * 2 + [rgb_profile()] * 4
    assert sorted(image.size for image in seen) == [(40, 60)] * 4 + [(60, 40)] * 2


def test_an_older_folder_is_asked_again_about_pictures_with_a_profile_and_about_no_other(
    tmp_path, monkeypatch
):
    bare, profiled = (encoded(photo(n), "JPEG", icc=icc) for n, icc in ((0, b""), (1, rgb_profile())))
    path, folder = write(tmp_path / "own.tsv", bare, profiled), tmp_path / "run"
    with monkeypatch.context() as before:
        before.setattr("mmdbench.variants.recipes.encoding_of", lambda data, where: ("image/jpeg", b""))
        mmdbench.evaluate(answer, str(path), out=folder, **HOW)
    digests = (folder / IMAGE_DIGESTS_FILE).read_bytes()
    seen.clear()
    run = mmdbench.evaluate(answer, str(path), out=folder, **HOW)
    assert [image.info["icc_profile"] for image in seen] == [rgb_profile()] * 2
    assert run.complete
    assert (folder / IMAGE_DIGESTS_FILE).read_bytes() == digests
    seen.clear()
    mmdbench.evaluate(answer, str(path), out=folder, **HOW)
    assert seen == []
