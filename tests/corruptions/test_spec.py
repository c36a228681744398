"""The spec file is read, checked, and the only place the numbers come from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from mmdbench.corruptions import apply, get_corruption_names, sample
from mmdbench.corruptions.formula import evaluate, uses_intensity
from mmdbench.corruptions.operations import draw, find_corruption
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import SpecError, UnknownNameError
from pictures import picture

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "corruptions_spec.yaml").read_text(encoding="utf-8")


def edited(tmp_path: Path, old: str, new: str):
    assert TEXT.count(old) >= 1, old
    path = tmp_path / "spec.yaml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    return load_spec(path)


def test_the_content_of_the_file():
    spec = load_spec()
    assert spec is load_spec()
    assert spec.version
    assert spec.shared_field is True
    assert dict(spec.intensities) == {"low": 0.23, "mid": 0.45, "hard": 0.9}
    assert list(spec.categories) == ["capture", "transmission", "environmental", "post_processing"]
    assert [find_corruption(spec, name).name for name in spec.corruptions] == list(spec.corruptions)
    assert len(spec.digest) == 64
    weights: dict[str, float] = {}
    for entry in spec.corruptions.values():
        weights[entry.category] = weights.get(entry.category, 0) + entry.release_weight
        assert entry.source
        assert entry.meaning
    assert weights == dict.fromkeys(spec.categories, 100)
    assert spec.corruptions["watermark_damage"].release_weight == 34
    with pytest.raises(TypeError):
        spec.corruptions["x"] = 1  # type: ignore[index]
    with pytest.raises(UnknownNameError, match="'lens_blur'"):
        spec.corruption("lensblur")


def test_the_packaged_file_is_the_one_at_the_top():
    assert (ROOT / "mmdbench" / "corruptions_spec.yaml").read_text(encoding="utf-8") == TEXT
    assert load_spec(ROOT / "corruptions_spec.yaml") == load_spec()


def test_subsets():
    names = get_corruption_names()
    assert len(names) == 16
    by_category = [get_corruption_names(c) for c in load_spec().categories]
    assert [name for group in by_category for name in group] == names
    assert [len(group) for group in by_category] == [5, 4, 4, 3]
    assert get_corruption_names("stochastic") == [
        "lens_flare",
        "motion_blur",
        "dirty_lens",
        "block_exchange",
        "gaussian_noise",
        "color_diffusion",
        "graffiti",
        "watermark_damage",
    ]
    assert sorted(get_corruption_names("stochastic") + get_corruption_names("deterministic")) == sorted(names)


AS_JSON = json.dumps(yaml.safe_load(TEXT))
PHOTO = picture(1, 260, 320)
NUMBERS = [(name, key) for name, entry in load_spec().corruptions.items() for key in entry.numbers]


@pytest.mark.parametrize(("name", "key"), NUMBERS, ids=lambda v: v)
def test_editing_a_number_changes_the_picture(tmp_path, name, key):
    """Every number of the file reaches the pixels, and from nowhere else."""
    data = json.loads(AS_JSON)
    entry = data["corruptions"][name]["numbers"][key]
    entry.pop("at", None)
    if "constant" in entry:
        entry["constant"] = [v // 2 for v in entry["constant"]] if key != "words" else ["OK", "HIT"]
    elif "range" in entry:
        entry["range"] = [3, 3]
    elif key in ("text", "darken_edges"):
        entry["formula"] = False
    elif key == "blur_size":
        entry["formula"] = 1
    else:
        value = evaluate(entry["formula"], 0.95)
        entry["formula"] = value + 2 if isinstance(value, int) else value * 0.6
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")  # which is YAML, too
    image = PHOTO
    specs = (load_spec(), load_spec(path))
    pairs = [
        [draw(spec, name, image.shape, intensity=0.95, seed=seed) for spec in specs] for seed in range(12)
    ]
    different = [pair for pair in pairs if pair[0] != pair[1]]
    assert different
    if key in ("words", "blur_size"):
        return  # their edited values can be recorded, but not drawn
    pictures = ([apply(name, image, params) for params in pair] for pair in different)
    assert any((one != other).any() for one, other in pictures)


def test_editing_an_intensity_changes_the_picture(tmp_path):
    data = yaml.safe_load(TEXT)
    data["intensities"]["hard"] = 0.8
    for entry in data["corruptions"].values():
        for number in entry["numbers"].values():
            if "at" in number:
                ends = number.get("range") or [number["formula"]]
                last = [evaluate(f, 0.8) for f in ends]
                number["at"][2] = last if "range" in number else last[0]
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    spec = load_spec(path)
    assert draw(spec, "dark_illumination", (9, 9), intensity=spec.intensities["hard"]) == {"gain": 1 - 0.8**2}


STANZA = """\
  vignette:
    category: capture
    source: a lens
    meaning: darker corners
    random: []
    release_weight: 0
    numbers: {gain: {unit: gain, formula: 0.5}}
"""


def test_a_stanza_without_a_function_is_an_error(tmp_path):
    spec = edited(tmp_path, "  lens_blur:\n", STANZA + "  lens_blur:\n")
    for name in ("vignette", "lens_blur"):
        with pytest.raises(SpecError, match="the corruption 'vignette', which no function defines"):
            draw(spec, name, (9, 9), intensity=0.5)


def test_a_function_without_a_stanza_is_an_error(tmp_path):
    spec = edited(tmp_path, "  mean_shift:\n", "  mean_shifts:\n")
    message = r"corruptions\.transmission defines the corruption 'mean_shift', which the spec does not have"
    with pytest.raises(SpecError, match=message):
        draw(spec, "lens_blur", (9, 9), intensity=0.5)


MISTAKES = [
    (
        'sigma: {unit: px, formula: "20*i"',
        'sigma: {unit: px, formula: "21*i"',
        r"lens_blur\.numbers\.sigma\.at.*4\.83",
    ),
    ("  lens_flare:", "  lens_blur:", r"'lens_blur' occurs twice"),
    ("    category: capture", "    category: camera", r"lens_blur\.category: 'camera'.*capture"),
    ("    random: []", "    random: no", r"lens_blur\.random: False.*list"),
    ("release_weight: 20", "release_weight: heavy", r"lens_blur\.release_weight: 'heavy'"),
    ("scale: odd_length", "scale: lenght", r"kernel_size\.scale: 'lenght'.*odd_length"),
    ("low: 0.23", "low: 0", r"intensities\.low: 0"),
    ("low: 0.23, ", "", r"intensities: the key 'low' is missing"),
    ('version: "1"', "version: 1", r"version: 1.*text"),
    ("shared_field: true", "shared_fields: true", r"'shared_field' is missing"),
    ('"20*i"', '"20*j"', r"sigma: 'j' is not allowed"),
    ('"20*i"', "\"__import__('os')\"", r"not allowed"),
    ('"20*i"', '"20*"', r"20\*"),
    ("unit: px, formula: 3}", "unit: px, formula: 3, at: [3, 3, 3]}", r"does not depend on i"),
    ("range: [10, 50]", "range: [10, 20, 50]", r"radius\.range.*two ends"),
    ("constant: [235, 255, 255]", "constant: 1, formula: 2", r"exactly one of"),
    ("intensities:", "intensities: [", r"not YAML"),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_mistakes_are_named(tmp_path, old, new, message):
    with pytest.raises(SpecError, match=message) as caught:
        edited(tmp_path, old, new)
    assert "spec.yaml" in str(caught.value)
    assert caught.value.hint


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"none\.yaml cannot be read"):
        load_spec(tmp_path / "none.yaml")


def test_formulas():
    assert evaluate("max(5, int(30*i))", 0.23) == 6
    assert evaluate("int(10*i) if i > 0.1 else 0", 0.1) == 0
    assert evaluate("-i + 7//2", 0.5) == 2.5
    assert evaluate(3, 0.5) == 3
    assert uses_intensity("2*i")
    assert not uses_intensity("2*3")
    for wrong in (
        "i.real",
        "open('x')",
        "[i]",
        "i if",
        "int(i, base=2)",
        "'a'",
        "1/0*i",
        "lambda: i",
        "i < 1 < 2",
    ):
        with pytest.raises(ValueError):
            evaluate(wrong, 0.5)


def test_profile_scaled():
    spec = load_spec()
    at = {
        size: spec.values("lens_flare", 0.9, size, "scaled").numbers
        for size in ((512, 512), (1024, 2048), (64, 64))
    }
    published = spec.values("lens_flare", 0.9, (64, 64)).numbers
    assert at[512, 512] == published
    assert at[1024, 2048]["count"] == 30 * 2
    assert at[1024, 2048]["radius"] == (20, 100)
    assert at[1024, 2048]["blur_sigma"] == published["blur_sigma"]
    assert at[64, 64]["count"] == 30
    assert at[64, 64]["radius"] == (1, 6)
    assert spec.values("lens_blur", 0.9, (1024, 1024), "scaled").integer("kernel_size") == 203
    with pytest.raises(UnknownNameError, match="'scaled'"):
        spec.values("lens_blur", 0.9, (9, 9), "scale")


def test_the_severity_of_the_scaled_profile_does_not_depend_on_the_size():
    small = picture(3, 256, 256)
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)

    def change(image, profile):
        params = sample("lens_blur", image.shape, level="mid", profile=profile)
        return np.abs(apply("lens_blur", image, params).astype(int) - image).mean()

    ratio = {profile: change(large, profile) / change(small, profile) for profile in ("paper", "scaled")}
    assert ratio["paper"] < 0.8
    assert 0.95 < ratio["scaled"] < 1.05


def test_the_documented_table_is_the_spec_s():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "spec_table.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
