"""`mmdbench calibrate`: the numbers, the flags, the files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from mmdbench import corrupt
from mmdbench.cli import calibrate as verb
from mmdbench.cli._shared.errors import guarded
from mmdbench.corruptions.calibration import (
    CalibrationSettings,
    Effect,
    _flags,
    calibrate,
    resized,
    to_json,
    to_markdown,
)
from mmdbench.corruptions.severity import psnr, ssim
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UnknownNameError, UsageError
from pictures import picture

pytest.importorskip("skimage", reason="scikit-image is not installed (extra calibrate)")

NAMES = ("gaussian_noise", "hsv_saturation", "sharpness_change")
SIZES = (32, 48)


def images():
    return {f"{k}.png": picture(k, 60, 80) for k in range(3)}


def test_the_numbers_are_means_over_the_resized_images():
    found = calibrate(images(), CalibrationSettings(sizes=SIZES, names=NAMES))
    assert len(found.effects) == len(NAMES) * len(SIZES) * 3
    effect = next(
        e for e in found.effects if (e.corruption, e.level, e.size) == ("gaussian_noise", "mid", 48)
    )
    clean = [resized(pixels, 48) for pixels in images().values()]
    bad = [corrupt(pixels, "gaussian_noise", level="mid") for pixels in clean]
    assert [min(pixels.shape[:2]) for pixels in clean] == [48] * 3
    assert effect.ssim == pytest.approx(np.mean([ssim(*pair) for pair in zip(clean, bad, strict=True)]))
    assert effect.psnr_db == pytest.approx(np.mean([psnr(*pair) for pair in zip(clean, bad, strict=True)]))
    assert found.spec_version == load_spec().version


def test_grey_images_are_counted_where_nothing_happens():
    grey = np.repeat(picture(1, 60, 80)[..., :1], 3, axis=2)
    settings = CalibrationSettings(sizes=[32], names=["hsv_saturation"])
    found = calibrate({"grey": grey, "colour": picture(2, 60, 80)}, settings)
    assert all((e.unchanged, e.images) == (1, 2) and math.isfinite(e.psnr_db) for e in found.effects)
    assert [flag.kind for flag in found.flags] == ["no effect"]
    only = calibrate({"grey": grey}, settings)
    assert all(e.psnr_db is None and e.ssim == 1 for e in only.effects)
    assert "null" in json.dumps(to_json(only), allow_nan=False)
    assert "| – |" in to_markdown(only)


def test_sharpness_is_flagged_as_flat_and_noise_is_not():
    flags = calibrate(images(), CalibrationSettings(sizes=[48], names=NAMES)).flags
    assert ("sharpness_change", "flat") in {(flag.corruption, flag.kind) for flag in flags}
    assert "gaussian_noise" not in {flag.corruption for flag in flags}


@pytest.mark.parametrize(
    ("alike", "noise", "kinds"),
    [
        ((0.9, 0.7, 0.5), (30, 25, 20), []),
        ((0.9, 0.7, 0.75), (30, 25, 20), ["not monotone"]),
        ((0.9, 0.7, 0.5), (30, 20, 25), ["not monotone"]),
        ((0.9, 0.9, 0.89), (30, 25, 20), ["flat"]),
        ((0.9, 0.7, 1.0), (30, 25, None), ["not monotone", "not monotone"]),
        ((0.9, 0.7, 0.703), (30, 25, 25.1), []),
    ],
)
def test_flags(alike, noise, kinds):
    ladder = [
        Effect("x", level, 32, a, n, 2, 0)
        for level, a, n in zip(("low", "mid", "hard"), alike, noise, strict=True)
    ]
    # Private: no pictures give these very numbers.
    flags = list(_flags(ladder, "x", 32))
    assert [flag.kind for flag in flags] == kinds
    if kinds == ["not monotone"]:
        assert flags[0].what.startswith("hard is milder than mid (")
        assert ("hard 0.750" if alike[2] == 0.75 else "hard 25.0") in flags[0].what


def test_small_images_are_left_out_or_enlarged_and_counted():
    both = {"small": picture(1, 30, 40), "large": picture(2, 60, 80)}
    found = calibrate(both, CalibrationSettings(sizes=[40], names=["graffiti"]))
    assert {e.images for e in found.effects} == {1}
    found = calibrate(both, CalibrationSettings(sizes=[40], names=["graffiti"], enlarge=True))
    assert {e.images for e in found.effects} == {2}
    assert "1 of 2 at 40 px" in to_markdown(found)
    with pytest.raises(UsageError, match="--enlarge"):
        calibrate(both, CalibrationSettings(sizes=[500], names=["graffiti"]))
    with pytest.raises(UnknownNameError):
        calibrate(both, CalibrationSettings(sizes=[40], names=["grafitti"]))
    with pytest.raises(UsageError):
        calibrate(both, CalibrationSettings(sizes=[3]))


@pytest.fixture
def app():
    app = typer.Typer()
    app.command()(guarded(verb.calibrate))
    return app


def test_the_verb_prints_and_writes(app, tmp_path):
    (tmp_path / "photos").mkdir()
    for name, pixels in images().items():
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    arguments = [
        tmp_path / "photos",
        "--size",
        "32",
        "--corruption",
        "sharpness_change,gaussian_noise",
    ]
    result = CliRunner().invoke(app, [*map(str, arguments), "-o", str(tmp_path / "a.md"), "--json"])
    (tmp_path / "a.json").write_text(result.stdout, "utf-8")
    arguments += ["-o", tmp_path / "b.json"]
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "flat: sharpness_change, 32 px" in result.output
    data = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert data == json.loads((tmp_path / "b.json").read_text("utf-8"))
    assert data["format"] == "mmdbench.calibration/1"
    assert len(data["effects"]) == 6
    value = next(e["ssim"] for e in data["effects"] if (e["corruption"], e["level"]) == (NAMES[0], "low"))
    assert f"{value:.3f}" in result.output
    assert f"| gaussian_noise | {value:.3f} |" in (tmp_path / "a.md").read_text("utf-8")


@pytest.mark.parametrize("arguments", [["nowhere.png"], ["."]])
def test_the_verb_says_what_is_missing(app, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2


def test_the_page_of_the_docs_is_of_this_spec():
    page = (Path(__file__).parents[2] / "docs" / "severity.md").read_text("utf-8")
    assert f"spec version {load_spec().version}." in page
    for name in load_spec().corruptions:
        assert page.count(f"| {name} | ") == 2
