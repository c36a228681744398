"""The authors' degraded files are found by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdbench.errors import DataError
from mmdbench.variants.released import find_released_files, parse_released_name, require_released_files


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MMVP_LOW_LEVEL_LOW.tsv", ("MMVP", "low", "")),
        ("MMVP_LOW_LEVEL_MID.tsv", ("MMVP", "mid", "")),
        ("MMBench_DEV_EN_V11_LOW_LEVEL_HIGH.tsv", ("MMBench_DEV_EN_V11", "hard", "")),
        ("MMBench_DEV_EN_LOW_LEVEL_HIGH.tsv", ("MMBench_DEV_EN", "hard", "")),
        ("CV-Bench-2D_watermark_damage.tsv", ("CV-Bench-2D", "", "watermark_damage")),
    ],
)
def test_names_are_read(name: str, expected: tuple[str, str, str]) -> None:
    file = parse_released_name(Path("somewhere") / name)
    assert file is not None
    assert (file.bench, file.level, file.corruption) == expected


@pytest.mark.parametrize(
    "name",
    ["MMVP.tsv", "MMVP_hard.tsv", "MMVP_LOW_LEVEL_HIGH.txt", "Unknown_LOW_LEVEL_HIGH.tsv", "MMVP_fog.tsv"],
)
def test_other_names_are_not(name: str) -> None:
    assert parse_released_name(Path(name)) is None


def test_files_are_found_in_the_data_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, names in (
        (first, ["MMVP_LOW_LEVEL_HIGH", "MMVP"]),
        (second, ["MMVP_LOW_LEVEL_HIGH", "MMVP_graffiti"]),
    ):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.tsv").write_text("")
    monkeypatch.setenv("LMUData", str(second))
    found = find_released_files("mmvp", first)
    assert [(f.level, f.corruption, f.path.parent.name) for f in found] == [
        ("hard", "", "first"),
        ("", "graffiti", "second"),
    ]
    assert require_released_files("MMVP", ["hard"], first)["hard"].path == first / "MMVP_LOW_LEVEL_HIGH.tsv"
    with pytest.raises(DataError, match=r"MMVP_LOW_LEVEL_LOW\.tsv, MMVP_LOW_LEVEL_MID\.tsv were not found"):
        require_released_files("MMVP", ["low", "mid", "hard"], first)
